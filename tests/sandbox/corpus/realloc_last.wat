;; Gives the host the last byte of 32 bits.
;;@realloc
(i32.const -1)
