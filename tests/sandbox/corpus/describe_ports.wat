;; Describes ten million ports.
;;@memory
2000
;;@describe
(i64.store (i32.const 128) (i64.const 0x2_0000_0010)) (i64.store (i32.const 136) (i64.const 0x3_0000_0020))
(i64.store (i32.const 160) (i64.const 0x1_0000_0080)) (i64.store (i32.const 168) (i64.const 0x1_0000_0088))
(i64.store (i32.const 176) (i64.const 0x2_0000_0030)) (i32.store (i32.const 184) (i32.const 7))
(i64.store (i32.const 160) (i64.const 0x989680_00010000))
(i32.const 160)
