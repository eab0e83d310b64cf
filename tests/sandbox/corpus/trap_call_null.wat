;; Calls a function that a table does not have.
;;@fields
(table 1 funcref)
;;@process
(call_indirect (result i32) (i32.const 0))
