;; Has no memory for the host.
;;@realloc
unreachable
