;; next: an http-wasm middleware that lets every request pass (next = 1, with the context 42) and then adds x-seen: 1 to
;; the response, for which it asks for buffer_response while it starts. It traps when the context does not come back.
(module
  (import "http_handler" "enable_features" (func $enable_features (param $features i32) (result i32)))
  (import "http_handler" "set_header_value"
    (func $set_header_value (param $kind i32) (param $name i32) (param $name_len i32) (param $value i32) (param $value_len i32)))

  (memory (export "memory") 1)
  (data (i32.const 0) "x-seen")  ;; 6 bytes
  (data (i32.const 16) "1")

  ;; Features enabled here hold for every request. A host without buffer_response (2) cannot serve this guest.
  (func $start (export "_start")
    (if (i32.eqz (i32.and (call $enable_features (i32.const 2)) (i32.const 2)))
      (then unreachable)))

  (func $handle_request (export "handle_request") (result i64)
    (i64.or (i64.shl (i64.const 42) (i64.const 32)) (i64.const 1)))

  (func $handle_response (export "handle_response") (param $ctx i32) (param $is_error i32)
    (if (i32.ne (local.get $ctx) (i32.const 42)) (then unreachable))
    (call $set_header_value (i32.const 1) (i32.const 0) (i32.const 6) (i32.const 16) (i32.const 1))))
