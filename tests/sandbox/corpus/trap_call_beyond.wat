;; Calls past the end of its table.
;;@fields
(table 1 funcref)
;;@process
(call_indirect (result i32) (i32.const -1))
