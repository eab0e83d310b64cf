;; Shares its memory.
(component (core module (memory 1 1 shared)))
