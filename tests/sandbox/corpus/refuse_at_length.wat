;; Refuses a batch with a reason of 15 MiB.
;;@memory
250
;;@process
(call $refuse (i32.const 1024) (i32.const 0xf00000))
