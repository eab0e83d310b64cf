;; Gives up when it is asked what it is.
;;@describe
unreachable
