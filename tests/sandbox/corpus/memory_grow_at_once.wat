;; Wants all the memory that 32 bits reach.
;;@process
(drop (memory.grow (i32.const 65534))) (call $nothing)
