;; checkpoint: state.wat with an export by which it says that it has a checkpoint, where it yields.
(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time_get (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sched_yield" (func $sched_yield (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "appserver_checkpoint"))
  (global $starts (mut i32) (i32.const 0x30)) ;; "0"
  (data (i32.const 64) "Content-Type: a/b\n\n")

  (func (export "_start") (local $n i32) (local $spent i32)
    (global.set $starts (i32.add (global.get $starts) (i32.const 1)))
    (drop (memory.grow (i32.const 1)))
    (local.set $n (i32.const 1000))
    (loop $work
      (local.set $spent (i32.add (local.get $spent) (local.get $n)))
      (br_if $work (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i32.store (i32.const 65536) (local.get $spent)) ;; 500500
    (drop (call $clock_time_get (i32.const 1) (i64.const 1) (i32.const 84)))
    (drop (call $random_get (i32.const 92) (i32.const 8)))
    (drop (call $sched_yield))
    (drop (call $random_get (i32.const 100) (i32.const 8)))
    (if (i32.ne (i32.load (i32.const 65536)) (i32.const 500500)) (then unreachable))
    (if (i32.ne (local.get $spent) (i32.const 500500)) (then unreachable))
    (i32.store8 (i32.const 83) (global.get $starts))
    (i32.store (i32.const 8) (i32.const 64))
    (i32.store (i32.const 12) (i32.const 44))
    (drop (call $fd_write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 16)))))
