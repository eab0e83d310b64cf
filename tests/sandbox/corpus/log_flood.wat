;; Logs five thousand lines.
;;@tick
(local $i i32)
(loop $next
    (call $log (i32.const 2) (i32.const 32) (i32.const 3))
    (local.set $i (i32.add (local.get $i) (i32.const 1)))
    (br_if $next (i32.lt_u (local.get $i) (i32.const 5000))))
(call $nothing)
