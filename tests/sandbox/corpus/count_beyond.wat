;; Names a counter by what lies past its memory.
;;@tick
(call $count (i32.const 0x7fffffff) (i32.const 0x7fffffff) (i64.const 1)) (call $nothing)
