;; Gives the host the bottom of its memory, over its own constants.
;;@realloc
(i32.const 0)
