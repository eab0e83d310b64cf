;; Says that its answer lies where there is no memory.
;;@process
(i32.const 0x7ffffff0)
