;; Grows a table for ever.
;;@fields
(table $t 1 funcref)
;;@process
(loop $more (drop (table.grow $t (ref.null func) (i32.const 1000))) (br $more)) unreachable
