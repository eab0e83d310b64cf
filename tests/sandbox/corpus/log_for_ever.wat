;; Logs for ever.
;;@tick
(loop $forever (call $log (i32.const 2) (i32.const 32) (i32.const 60000)) (br $forever)) unreachable
