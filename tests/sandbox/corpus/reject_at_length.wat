;; Rejects a datum with a reason of 15 MiB.
;;@memory
250
;;@process
(i64.store (i32.const 516) (i64.const 0xf00000_00000400)) (drop (call $nothing))
(i64.store (i32.const 332) (i64.const 0x1_00000200)) (i32.const 320)
