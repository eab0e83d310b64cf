;; Fills and copies the largest table there is, a thousand times, likewise.
;;@fields
(table $t 260000 funcref)
;;@process*1000
(table.fill $t (i32.const 0) (ref.func $tick) (i32.const 260000)) (table.copy $t $t (i32.const 0) (i32.const 1) (i32.const 259999))
;;@process
(call $nothing)
;;@fields
(elem declare func $tick)
