;; badimport: an http-wasm guest that also imports two functions no host has. Loading it must fail and name both.
(module
  (import "http_handler" "set_status_code" (func $set_status_code (param $status i32)))
  (import "env" "missing_function" (func $missing_function (param i32) (result i32)))
  (import "env" "missing_too" (func $missing_too))
  (memory (export "memory") 1)
  (func $handle_request (export "handle_request") (result i64)
    (call $missing_too)
    (call $set_status_code (call $missing_function (i32.const 200)))
    (i64.const 0))
  (func $handle_response (export "handle_response") (param $ctx i32) (param $is_error i32)))
