;; Never comes back from `snapshot`.
;;@snapshot
(loop $forever (br $forever)) unreachable
