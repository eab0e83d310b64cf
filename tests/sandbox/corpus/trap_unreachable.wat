;; Gives up.
;;@process
unreachable
