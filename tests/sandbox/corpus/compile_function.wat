;; Has one function of 700 kB.
;;@fields
(func (param i32)
;;@fields*60000
    (block (br_if 0 (local.get 0)) (local.set 0 (i32.const {i})))
;;@fields
)
