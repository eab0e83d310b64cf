;; Has a hundred instances of a module.
;;@beside 100
(module)
