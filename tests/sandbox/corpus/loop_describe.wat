;; Never comes back from `describe`.
;;@describe
(loop $forever (br $forever)) unreachable
