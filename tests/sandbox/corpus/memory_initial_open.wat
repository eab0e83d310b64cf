;; Has more memory to begin with than it may have when it runs, though not when it is asked what it is.
;;@memory
512
