;; The second module of a group: it imports what the first one has, calls add when it starts, and twice when asked to,
;; which returns the sum of the counters.
(module
  (import "" "m" (memory 1 2))
  (import "" "add" (func $add))
  (import "glob" "g" (global $g (mut i32)))
  (func $begin (call $add))
  (start $begin)
  (func (export "twice") (result i32)
    (call $add)
    (call $add)
    (i32.add (global.get $g) (i32.load (i32.const 0)))))
