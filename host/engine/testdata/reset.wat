;; reset: a guest with state of every kind that a reset undoes. Its start section and init count in the host.
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "test" "host" (func $host (param i32)))

  (memory (export "memory") 4 64)
  (global $a (mut i32) (i32.const 1))
  (global $b (mut i64) (i64.const 2))
  (global $c (mut f64) (f64.const 3))
  (global $d (mut f32) (f32.const 4))
  (data (i32.const 65536) "data")
  (data (i32.const 100) "file")

  (func $begin (call $host (i32.const 0)) (global.set $a (i32.const 10)))
  (start $begin)
  (func (export "init")
    (call $host (i32.const 0))
    (global.set $b (i64.const 20))
    (memory.fill (i32.const 8192) (i32.const 7) (i32.const 10000))
    (drop (memory.grow (i32.const 1))))

  (func (export "count") (result i32)
    (global.set $a (i32.add (global.get $a) (i32.const 1)))
    (global.set $b (i64.add (global.get $b) (i64.const 1)))
    (global.set $c (f64.add (global.get $c) (f64.const 1)))
    (global.set $d (f32.add (global.get $d) (f32.const 1)))
    (global.get $a))
  (func (export "fill") (param i32 i32 i32) (memory.fill (local.get 0) (local.get 1) (local.get 2)))
  (func (export "poke") (param i32 i32) (i32.store8 (local.get 0) (local.get 1)))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "size") (result i32) (memory.size))
  (func $dirty_trap (export "trap") (i32.store (i32.const 4096) (i32.const -1)) unreachable)
  (func (export "exit") (param i32) (call $proc_exit (local.get 0)))
  (func $recurse (export "recurse") (param i64) (result i64)
    (i64.add (call $recurse (i64.add (local.get 0) (i64.const 1))) (local.get 0)))
  (func $inner (loop $forever
    (global.set $b (i64.add (global.get $b) (i64.const 1)))
    (i64.store (i32.const 200000) (global.get $b))
    (br $forever)))
  (func $spin (export "spin") (call $inner))
  (func $tree (export "tree") (param i32)
    (if (local.get 0) (then
      (call $tree (i32.sub (local.get 0) (i32.const 1)))
      (call $tree (i32.sub (local.get 0) (i32.const 1))))))
  (func $filler (export "filler") (loop $forever
    (memory.fill (i32.const 0) (i32.const 1) (i32.const 262144)) (br $forever)))
  (func (export "grow_by_one") (param i32)
    (loop $again
      (drop (memory.grow (i32.const 1)))
      (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
  (func (export "open") (result i32)
    (call $path_open (i32.const 3) (i32.const 0) (i32.const 100) (i32.const 4) (i32.const 0) (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 200))))
