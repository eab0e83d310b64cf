;; Gives the host memory that it does not have.
;;@realloc
(i32.const 0x7ffffff0)
