;; Exports all that an operator must, each as a function of nothing.
(component
    (core module $m (func (export "f"))) (core instance $i (instantiate $m))
    (func $f (canon lift (core func $i "f")))
    (export "describe" (func $f)) (export "open" (func $f)) (export "process" (func $f)) (export "resume" (func $f))
    (export "tick" (func $f)) (export "finish" (func $f)) (export "snapshot" (func $f)) (export "restore" (func $f)))
