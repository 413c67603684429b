;; cgiexit: a CGI guest that exits with code 3 and writes nothing.
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param $code i32)))
  (memory (export "memory") 1)
  (func $start (export "_start") (call $proc_exit (i32.const 3))))
