;; Calls itself by way of a table, for ever, through the component's own types.
;;@fields
(table 1 funcref) (elem (i32.const 0) func $resume)
;;@process
(loop $forever (drop (call_indirect (result i32) (i32.const 0))) (br $forever)) unreachable
