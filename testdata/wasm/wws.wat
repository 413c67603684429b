;; wws: a guest of wasm-workers-server that copies the request from stdin to stderr, and to stdout its second argument, which
;; is the response.
(module
  (import "wasi_snapshot_preview1" "fd_read"
    (func $fd_read (param $fd i32) (param $iovs i32) (param $n i32) (param $nread i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param $fd i32) (param $iovs i32) (param $n i32) (param $nwritten i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param $argv i32) (param $buf i32) (result i32)))

  ;; The iovec is at 0, a count at 8, the arguments' addresses at 16 and their bytes at 32768, what was read at 1024.
  (memory (export "memory") 2)

  (func $write (param $fd i32) (param $p i32) (param $len i32)
    (i32.store (i32.const 0) (local.get $p))
    (i32.store (i32.const 4) (local.get $len))
    (if (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)) (then unreachable)))

  (func $length (param $p i32) (result i32) (local $n i32)
    (loop $more (result i32)
      (if (result i32) (i32.load8_u (i32.add (local.get $p) (local.get $n)))
        (then (local.set $n (i32.add (local.get $n) (i32.const 1))) (br $more))
        (else (local.get $n)))))

  (func $start (export "_start")
    (loop $more
      (i32.store (i32.const 0) (i32.const 1024))
      (i32.store (i32.const 4) (i32.const 16384))
      (if (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)) (then unreachable))
      (if (i32.load (i32.const 8))
        (then (call $write (i32.const 2) (i32.const 1024) (i32.load (i32.const 8))) (br $more))))
    (drop (call $args_get (i32.const 16) (i32.const 32768)))
    (call $write (i32.const 1) (i32.load (i32.const 20)) (call $length (i32.load (i32.const 20))))))
