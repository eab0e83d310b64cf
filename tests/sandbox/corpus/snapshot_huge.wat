;; Remembers 128 MiB.
;;@memory
2100
;;@snapshot
(i32.store8 (i32.const 320) (i32.const 0)) (i32.store (i32.const 324) (i32.const 7))
(i64.store (i32.const 328) (i64.const 0x1_0000_0100)) (i32.store8 (i32.const 256) (i32.const 0))
(i64.store (i32.const 268) (i64.const 0x8000000_00010000)) (i32.const 320)
