;; Gives up over what its predecessor remembered.
;;@restore
unreachable
