;; The first module of a group: a counter in a global, another in memory that begins with 5, and add, which adds to both.
(module
  (memory (export "mem") 1 2)
  (global $g (export "g") (mut i32) (i32.const 0))
  (data (i32.const 0) "\05\00\00\00")
  (func (export "add")
    (global.set $g (i32.add (global.get $g) (i32.const 1)))
    (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))))
