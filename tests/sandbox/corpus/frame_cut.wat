;; Answers with a datum that is cut short.
;;@process
(call $answer (i32.const 0) (local.get $ptr) (i32.const 5) (i32.const 0))
