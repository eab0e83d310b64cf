;; Says that it answers with a billion batches.
;;@process
(drop (call $nothing)) (i64.store (i32.const 324) (i64.const 0x3b9aca00_00010000)) (i32.const 320)
