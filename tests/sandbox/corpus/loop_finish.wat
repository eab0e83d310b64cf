;; Never comes back from `finish`.
;;@finish
(loop $forever (br $forever)) unreachable
