;; Fills 14 MiB of memory a thousand times, likewise.
;;@memory
225
;;@process*1000
(memory.fill (i32.const 65536) (i32.const {i}) (i32.const 0xe00000))
;;@process
(call $nothing)
