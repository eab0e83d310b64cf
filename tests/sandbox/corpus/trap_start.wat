;; Gives up before it is asked anything.
;;@fields
(func $start unreachable) (start $start)
