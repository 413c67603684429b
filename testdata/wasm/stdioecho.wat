;; stdioecho: a stdio guest that answers 200 with everything of its request, head included, as it comes, until the last
;; byte that it has got is a full stop. It ends then, or at the end of stdin.
(module
  (import "wasi_snapshot_preview1" "fd_read"
    (func $fd_read (param $fd i32) (param $iovs i32) (param $n i32) (param $nread i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param $fd i32) (param $iovs i32) (param $n i32) (param $nwritten i32) (result i32)))

  ;; The iovec is at 0, the count of what was read or written at 8, the head at 16, the buffer at 1024.
  (memory (export "memory") 1)
  (data (i32.const 16) "HTTP/1.1 200 OK\0d\0aConnection: close\0d\0a\0d\0a")  ;; 38 bytes

  (func $read (result i32)
    (i32.store (i32.const 0) (i32.const 1024))
    (i32.store (i32.const 4) (i32.const 32768))
    (if (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)) (then unreachable))
    (i32.load (i32.const 8)))

  ;; write_all traps when stdout fails, since there is no one to tell.
  (func $write_all (param $p i32) (param $len i32)
    (loop $more
      (i32.store (i32.const 0) (local.get $p))
      (i32.store (i32.const 4) (local.get $len))
      (if (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)) (then unreachable))
      (local.set $p (i32.add (local.get $p) (i32.load (i32.const 8))))
      (local.set $len (i32.sub (local.get $len) (i32.load (i32.const 8))))
      (br_if $more (local.get $len))))

  (func $start (export "_start") (local $len i32)
    (local.set $len (call $read))
    (if (i32.eqz (local.get $len)) (then (return)))
    (call $write_all (i32.const 16) (i32.const 38))
    (loop $more
      (call $write_all (i32.const 1024) (local.get $len))
      (if (i32.eq (i32.load8_u (i32.add (i32.const 1023) (local.get $len))) (i32.const 0x2e)) (then (return)))
      (local.set $len (call $read))
      (br_if $more (local.get $len)))))
