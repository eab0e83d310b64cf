;; Answers with a batch that reaches past its memory.
;;@process
(call $answer (i32.const 0) (local.get $ptr) (i32.const 0x7fffffff) (i32.const 0))
