;; Rejects a datum that the batch does not have.
;;@process
(i32.store (i32.const 512) (i32.const 0x7fffffff)) (drop (call $nothing))
(i64.store (i32.const 332) (i64.const 0x1_00000200)) (i32.const 320)
