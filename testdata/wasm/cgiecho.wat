;; cgiecho: a CGI guest that copies stdin to stdout until the end, 32 KiB at a time, behind a head. It reads to the end
;; of stdin rather than CONTENT_LENGTH bytes, so it also takes bodies whose length nobody knew beforehand.
(module
  (import "wasi_snapshot_preview1" "fd_read"
    (func $fd_read (param $fd i32) (param $iovs i32) (param $n i32) (param $nread i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param $fd i32) (param $iovs i32) (param $n i32) (param $nwritten i32) (result i32)))

  ;; The iovec is at 0, the count of what was read or written at 8, the head at 16, the buffer at 1024.
  (memory (export "memory") 1)
  (data (i32.const 16) "Content-Type: application/octet-stream\n\n")  ;; 40 bytes

  ;; write_all traps when stdout fails, since there is no one to tell.
  (func $write_all (param $p i32) (param $len i32)
    (loop $more
      (i32.store (i32.const 0) (local.get $p))
      (i32.store (i32.const 4) (local.get $len))
      (if (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)) (then unreachable))
      (local.set $p (i32.add (local.get $p) (i32.load (i32.const 8))))
      (local.set $len (i32.sub (local.get $len) (i32.load (i32.const 8))))
      (br_if $more (local.get $len))))

  (func $start (export "_start")
    (call $write_all (i32.const 16) (i32.const 40))
    (loop $more
      (i32.store (i32.const 0) (i32.const 1024))
      (i32.store (i32.const 4) (i32.const 32768))
      (if (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)) (then unreachable))
      (if (i32.load (i32.const 8))
        (then
          (call $write_all (i32.const 1024) (i32.load (i32.const 8)))
          (br $more))))))
