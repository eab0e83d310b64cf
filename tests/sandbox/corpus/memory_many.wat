;; Has twenty memories, each in a module of its own.
;;@beside 20
(module (memory 1))
