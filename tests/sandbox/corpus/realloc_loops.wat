;; Never comes back from giving the host memory.
;;@realloc
(loop $forever (br $forever)) unreachable
