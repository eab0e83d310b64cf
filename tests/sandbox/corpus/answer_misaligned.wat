;; Says that its answer lies where none may begin.
;;@process
(i32.const 321)
