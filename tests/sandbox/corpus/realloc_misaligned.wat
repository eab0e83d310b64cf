;; Gives the host memory where no record may begin.
;;@realloc
(i32.const 65537)
