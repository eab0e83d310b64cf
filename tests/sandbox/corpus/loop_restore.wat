;; Never comes back from `restore`.
;;@restore
(loop $forever (br $forever)) unreachable
