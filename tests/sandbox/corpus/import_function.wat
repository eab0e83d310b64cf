;; Wants a function of the host that the host does not have.
(module (import "mosaik:operator/host@1.0.0" "exec" (func (param i32 i32))))
