;; Writes past the end of its memory, by an offset that makes 33 bits.
;;@process
(i32.store offset=0xffffffff (i32.const -1) (i32.const 7)) (call $nothing)
