;; Logs what lies past its memory.
;;@tick
(call $log (i32.const 2) (i32.const 0) (i32.const -1)) (call $nothing)
