;; Names a counter by what is no text.
;;@fields
(data (i32.const 512) "\ff")
;;@tick
(call $count (i32.const 512) (i32.const 1) (i64.const 1)) (call $nothing)
