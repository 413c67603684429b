;; bigtable: an http-wasm guest that demands a table of 100,000,000 elements to begin with. Loading it must fail.
(module
  (import "http_handler" "set_status_code" (func $set_status_code (param $status i32)))
  (memory (export "memory") 1)
  (table 100000000 funcref)
  (func $handle_request (export "handle_request") (result i64) (i64.const 0))
  (func $handle_response (export "handle_response") (param $ctx i32) (param $is_error i32)))
