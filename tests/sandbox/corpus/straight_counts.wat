;; Names counters of 14 MiB a thousand times, without a loop or a function of its own, where guests look at the clock.
;;@memory
225
;;@process*1000
(call $count (i32.const 0) (i32.const 0xe00000) (i64.const 1))
;;@process
(call $nothing)
