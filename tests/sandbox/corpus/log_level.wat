;; Logs at a level that there is not.
;;@tick
(call $log (i32.const 99) (i32.const 32) (i32.const 3)) (call $nothing)
