;; Answers with as many batches of one empty datum as still may be, all of them the same four bytes.
;;@memory
600
;;@process
(local $at i32)
(local.set $at (i32.const 65536))
(loop $next
    (i64.store offset=4 (local.get $at) (i64.const 0x4_00000200))
    (local.set $at (i32.add (local.get $at) (i32.const 12)))
    (br_if $next (i32.lt_u (local.get $at) (i32.const 21665536))))
(drop (call $nothing)) (i64.store (i32.const 324) (i64.const 0x1b7740_00010000)) (i32.const 320)
