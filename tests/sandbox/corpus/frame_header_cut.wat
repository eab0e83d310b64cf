;; Ends a batch in the middle of a length.
;;@process
(call $answer (i32.const 0) (i32.const 512) (i32.const 7) (i32.const 0))
