;; startexit: an http-wasm guest whose _start calls proc_exit(7). Loading it must fail and tell the code.
(module
  (import "http_handler" "set_status_code" (func $set_status_code (param $status i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param $code i32)))
  (memory (export "memory") 1)
  (func $start (export "_start") (call $proc_exit (i32.const 7)))
  (func $handle_request (export "handle_request") (result i64) (i64.const 0))
  (func $handle_response (export "handle_response") (param $ctx i32) (param $is_error i32)))
