;; Answers with ten million empty batches, which are nothing but zeros.
;;@memory
2100
;;@process
(drop (call $nothing)) (i64.store (i32.const 324) (i64.const 0x989680_00100000)) (i32.const 320)
