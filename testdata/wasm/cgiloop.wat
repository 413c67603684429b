;; cgiloop: a CGI guest that answers every request with a local redirect (RFC 3875 §6.2.2), so following it never ends.
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param $fd i32) (param $iovs i32) (param $n i32) (param $nwritten i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\12\00\00\00")  ;; the iovec: address 16, length 18
  (data (i32.const 16) "Location: /again\n\n")
  (func $start (export "_start")
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
