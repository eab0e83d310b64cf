;; Never comes back from `process`.
;;@process
(loop $forever (br $forever)) unreachable
