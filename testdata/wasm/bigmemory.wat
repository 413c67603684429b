;; bigmemory: an http-wasm guest that demands 65,536 pages (4 GiB) of memory to begin with. Loading it must fail.
(module
  (import "http_handler" "set_status_code" (func $set_status_code (param $status i32)))
  (memory (export "memory") 65536)
  (func $handle_request (export "handle_request") (result i64) (i64.const 0))
  (func $handle_response (export "handle_response") (param $ctx i32) (param $is_error i32)))
