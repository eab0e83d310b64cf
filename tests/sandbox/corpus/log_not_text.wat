;; Logs what is no text.
;;@fields
(data (i32.const 512) "\c3\28")
;;@tick
(call $log (i32.const 2) (i32.const 512) (i32.const 2)) (call $nothing)
