;; A module beside it never comes back from its start.
;;@beside 1
(module (func $start (loop $forever (br $forever)) unreachable) (start $start))
