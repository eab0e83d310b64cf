;; Grows its memory for ever when the host asks for some.
;;@realloc
(loop $more (drop (memory.grow (i32.const 16))) (br $more)) unreachable
