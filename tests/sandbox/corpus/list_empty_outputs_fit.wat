;; Answers with as many empty batches as still may be.
;;@memory
600
;;@process
(drop (call $nothing)) (i64.store (i32.const 324) (i64.const 0x1e8480_00100000)) (i32.const 320)
