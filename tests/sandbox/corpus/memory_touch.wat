;; Grows to its limit and writes to every page, so that it is there; then grows on.
;;@process
(local $at i32)
(loop $more
    (local.set $at (i32.shl (memory.grow (i32.const 1)) (i32.const 16)))
    (memory.fill (local.get $at) (i32.const 7) (i32.const 65536))
    (br $more))
unreachable
