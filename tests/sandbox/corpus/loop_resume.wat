;; Never comes back from `resume`.
;;@resume
(loop $forever (br $forever)) unreachable
