;; Wants to start with more data than it has memory.
;;@fields
(data (i32.const 0x7ffffff0) "out of bounds")
