;; Never comes back from `open`.
;;@open
(loop $forever (br $forever)) unreachable
