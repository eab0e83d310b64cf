;; Runs its own `process` while the host calls it for memory: nothing but a function of its own.
;;@realloc
(drop (call $process (i32.const 0) (i32.const 65536) (i32.const 0)))
(i32.const 65536)
