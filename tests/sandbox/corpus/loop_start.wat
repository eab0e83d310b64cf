;; Never comes back from what runs when it is instantiated.
;;@fields
(func $start (loop $forever (br $forever)) unreachable) (start $start)
