;; Has a table of ten million elements to begin with.
;;@fields
(table 10000000 funcref)
