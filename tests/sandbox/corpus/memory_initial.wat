;; Has all the memory that 32 bits reach to begin with.
;;@memory
65536
