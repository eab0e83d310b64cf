;; Asks the host what time it is, for ever.
;;@process
(loop $forever (drop (call $now)) (br $forever)) unreachable
