;; Names five thousand counters, each a byte longer than the one before.
;;@tick
(local $i i32)
(loop $next
    (local.set $i (i32.add (local.get $i) (i32.const 1)))
    (call $count (i32.const 1024) (local.get $i) (i64.const -1))
    (br_if $next (i32.lt_u (local.get $i) (i32.const 5000))))
(call $nothing)
