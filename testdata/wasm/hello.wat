;; hello: the smallest useful http-wasm guest. It answers every request with 200 and one line of text.
(module
  (import "http_handler" "set_header_value"
    (func $set_header_value (param $kind i32) (param $name i32) (param $name_len i32) (param $value i32) (param $value_len i32)))
  (import "http_handler" "write_body"
    (func $write_body (param $kind i32) (param $body i32) (param $body_len i32)))

  (memory (export "memory") 1)
  (data (i32.const 0) "content-type")                ;; 12 bytes
  (data (i32.const 16) "text/plain; charset=utf-8")  ;; 25 bytes
  (data (i32.const 64) "Hello from WebAssembly!\n")  ;; 24 bytes

  ;; The status stays at its default, 200. The result 0 means: do not call the next handler.
  (func $handle_request (export "handle_request") (result i64)
    (call $set_header_value (i32.const 1) (i32.const 0) (i32.const 12) (i32.const 16) (i32.const 25))
    (call $write_body (i32.const 1) (i32.const 64) (i32.const 24))
    (i64.const 0))

  (func $handle_response (export "handle_response") (param $ctx i32) (param $is_error i32)))
