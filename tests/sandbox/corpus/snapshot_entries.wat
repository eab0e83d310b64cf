;; Remembers five million times nothing.
;;@memory
2100
;;@snapshot
(i32.store8 (i32.const 320) (i32.const 0)) (i32.store (i32.const 324) (i32.const 7))
(i64.store (i32.const 328) (i64.const 0x4c4b40_00010000)) (i32.const 320)
