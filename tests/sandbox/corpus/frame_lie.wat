;; Says that a datum has two gigabytes.
;;@process
(i32.store (i32.const 512) (i32.const 0xffffff7f)) (call $answer (i32.const 0) (i32.const 512) (i32.const 100) (i32.const 0))
