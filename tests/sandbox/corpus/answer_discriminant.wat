;; Answers with a case that there is not.
;;@process
(drop (call $nothing)) (i32.store8 (i32.const 320) (i32.const 7)) (i32.const 320)
