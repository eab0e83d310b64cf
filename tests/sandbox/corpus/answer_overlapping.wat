;; Answers with a thousand batches, each of them the same 100 kB.
;;@process
(local $i i32)
(loop $next
    (i32.store (i32.add (i32.const 2052) (i32.mul (local.get $i) (i32.const 12))) (i32.const 512))
    (i32.store (i32.add (i32.const 2056) (i32.mul (local.get $i) (i32.const 12))) (i32.const 100000))
    (local.set $i (i32.add (local.get $i) (i32.const 1)))
    (br_if $next (i32.lt_u (local.get $i) (i32.const 1000))))
(drop (call $nothing)) (i64.store (i32.const 324) (i64.const 0x3e8_00000800)) (i32.const 320)
