;; Copies 128 MiB within its memory, two hundred times, likewise.
;;@memory
4100
;;@process*200
(memory.copy (i32.const 0x8000000) (i32.const 65536) (i32.const 0x7fe0000))
;;@process
(call $nothing)
