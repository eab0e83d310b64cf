;; Calls itself for ever.
;;@process
(call $process (i32.const 0) (i32.const 0) (i32.const 0))
