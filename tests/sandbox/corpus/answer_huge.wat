;; Answers with 128 MiB in one batch.
;;@memory
2100
;;@process
(call $answer (i32.const 0) (i32.const 65536) (i32.const 0x8000000) (i32.const 0))
