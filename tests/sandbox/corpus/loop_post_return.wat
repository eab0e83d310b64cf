;; Never comes back from freeing its answer, which the host asks for.
;;@fields
(func (export "cabi_post_tick") (param i32) (loop $forever (br $forever)))
