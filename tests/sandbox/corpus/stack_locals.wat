;; Calls itself for ever, with thousands of numbers that it needs afterwards.
;;@fields
(func $big (param i32) (result i32)
;;@fields*4000
    (local $l{i} i64)
;;@fields*4000
    (local.set $l{i} (i64.load offset={i} (local.get 0)))
;;@fields
    (drop (call $big (local.get 0)))
;;@fields*4000
    (i64.store offset={i} (local.get 0) (local.get $l{i}))
;;@fields
    (i32.const 0))
;;@process
(call $big (i32.const 65536))
