;; Names a counter with 15 MiB.
;;@memory
250
;;@tick
(call $count (i32.const 1024) (i32.const 0xf00000) (i64.const 1)) (call $nothing)
