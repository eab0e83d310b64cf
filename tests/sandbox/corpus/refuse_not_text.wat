;; Refuses a batch with a reason that is no text.
;;@fields
(data (i32.const 512) "\ff\fe")
;;@process
(call $refuse (i32.const 512) (i32.const 2))
