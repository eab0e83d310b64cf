;; Logs lines of 14 MiB, nine hundred of them, likewise.
;;@memory
225
;;@process*900
(call $log (i32.const 2) (i32.const 0) (i32.const 0xe00000))
;;@process
(call $nothing)
