;; Grows its memory for ever.
;;@process
(loop $more (drop (memory.grow (i32.const 16))) (br $more)) unreachable
