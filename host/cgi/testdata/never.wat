;; never: a CGI guest that says it has a checkpoint, but prints before it, and answers with "never" and whatever its memory
;; holds of earlier runs.
(module
  (import "wasi_snapshot_preview1" "sched_yield" (func $sched_yield (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "appserver_checkpoint"))
  (data (i32.const 64) "Content-Type: a/b\n\nnever0")
  (func (export "_start")
    (i32.store8 (i32.const 88) (i32.add (i32.load8_u (i32.const 88)) (i32.const 1)))
    (i32.store (i32.const 8) (i32.const 64))
    (i32.store (i32.const 12) (i32.const 25))
    (drop (call $fd_write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 16)))
    (drop (call $sched_yield))))
