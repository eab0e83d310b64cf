;; Two functions call each other by way of a table, for ever.
;;@fields
(table 2 funcref) (elem (i32.const 0) func $a $b)
(func $a (result i32) (i32.add (call_indirect (result i32) (i32.const 1)) (i32.const 1)))
(func $b (result i32) (i32.add (call_indirect (result i32) (i32.const 0)) (i32.const 1)))
;;@process
(call $a)
