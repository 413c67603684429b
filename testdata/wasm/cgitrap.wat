;; cgitrap: a CGI guest that writes a whole head and a part of its body, then traps. The client must not take the part
;; for the whole.
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param $fd i32) (param $iovs i32) (param $n i32) (param $nwritten i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\27\00\00\00")  ;; the iovec: address 16, length 39
  (data (i32.const 16) "Content-Type: text/plain\n\nthis is only ")
  (func $start (export "_start")
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    unreachable))
