;; Has sixty tables more, each with as many elements as all of them may have.
;;@beside 60
(module (table 262144 funcref))
