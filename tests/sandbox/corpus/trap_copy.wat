;; Copies past the end of its memory.
;;@process
(memory.copy (i32.const 0) (i32.const 0) (i32.const 0x7fffffff)) (call $nothing)
