;; Never comes back from `tick`.
;;@tick
(loop $forever (br $forever)) unreachable
