;; Has four memories of 8 MiB, each of which it may have.
;;@beside 4
(module (memory 128))
