;; Calls a function as another one than it is.
;;@fields
(table 1 funcref) (elem (i32.const 0) func $answer)
;;@process
(call_indirect (result i32) (i32.const 0))
