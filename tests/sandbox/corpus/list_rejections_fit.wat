;; Rejects the first datum as often as still may be.
;;@memory
600
;;@process
(drop (call $nothing)) (i64.store (i32.const 332) (i64.const 0x1e8480_00100000)) (i32.const 320)
