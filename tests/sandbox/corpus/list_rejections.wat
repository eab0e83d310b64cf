;; Rejects the first datum ten million times, without a word.
;;@memory
2100
;;@process
(drop (call $nothing)) (i64.store (i32.const 332) (i64.const 0x989680_00100000)) (i32.const 320)
