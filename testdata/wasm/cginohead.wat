;; cginohead: a CGI guest whose output has no header block. The client must get an error, not this text.
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param $fd i32) (param $iovs i32) (param $n i32) (param $nwritten i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\25\00\00\00")  ;; the iovec: address 16, length 37
  (data (i32.const 16) "this is no header\nand neither is this")
  (func $start (export "_start")
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
