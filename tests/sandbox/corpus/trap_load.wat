;; Reads past the end of its memory.
;;@process
(i32.load (i32.const 0x7fffffff))
