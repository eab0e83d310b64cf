;; Says that there is more, whenever it is asked.
;;@process
(call $answer (i32.const 0) (local.get $ptr) (local.get $len) (i32.const 1))
;;@resume
(call $answer (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1))
