;; Has a `tick` that wants a number.
(module
    (memory (export "memory") 1)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
    (func (export "describe") (result i32) unreachable)
    (func (export "open") (param i32 i32 i32 i32 i32 i32) (result i32) unreachable)
    (func (export "process") (param i32 i32 i32) (result i32) unreachable)
    (func (export "resume") (result i32) unreachable)
    (func (export "tick") (param f64) (result i32) unreachable)
    (func (export "finish") (param i32) (result i32) unreachable)
    (func (export "snapshot") (result i32) unreachable)
    (func (export "restore") (param i32 i32 i32) (result i32) unreachable))
