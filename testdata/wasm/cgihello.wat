;; cgihello: the smallest useful CGI guest. It writes a head and one line of text to stdout; lines end in LF alone.
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param $fd i32) (param $iovs i32) (param $n i32) (param $nwritten i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\3d\00\00\00")  ;; the iovec: address 16, length 61
  (data (i32.const 16) "Content-Type: text/plain; charset=utf-8\n\nHello from CGI/WASI\n")
  (func $start (export "_start")
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
