;; Calls itself at the end of itself, for ever, in as little stack as that takes.
;;@fields
(func $down (param i32) (result i32) (if (result i32) (local.get 0)
    (then (call $down (i32.sub (local.get 0) (i32.const 1)))) (else (i32.const 0))))
;;@process
(loop $forever (drop (call $down (i32.const 100))) (br $forever)) unreachable
