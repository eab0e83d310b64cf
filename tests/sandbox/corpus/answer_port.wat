;; Answers on a port that it does not have.
;;@process
(call $answer (i32.const 0x7fffffff) (local.get $ptr) (local.get $len) (i32.const 0))
