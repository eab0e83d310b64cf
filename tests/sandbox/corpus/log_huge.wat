;; Logs a line of 15 MiB.
;;@memory
250
;;@tick
(call $log (i32.const 4) (i32.const 1024) (i32.const 0xf00000)) (call $nothing)
