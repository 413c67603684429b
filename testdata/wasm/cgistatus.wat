;; cgistatus: a CGI guest that answers 418 with two Set-Cookie fields, which must reach the client as two. Lines end in
;; CR LF, as RFC 3875 §6.2 lets a server accept.
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param $fd i32) (param $iovs i32) (param $n i32) (param $nwritten i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\78\00\00\00")  ;; the iovec: address 16, length 120
  (data (i32.const 16) "Status: 418 I'm a teapot\r\nContent-Type: text/plain\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2; Path=/\r\n\r\nshort and stout\n")
  (func $start (export "_start")
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
