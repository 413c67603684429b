;; tag: an http-wasm middleware that adds its configuration to the field x-tag of each request and of each response, to tell
;; in which order several of it were passed. Without a configuration it traps at each request.
(module
  (import "http_handler" "enable_features" (func $enable_features (param $features i32) (result i32)))
  (import "http_handler" "get_config" (func $get_config (param $buf i32) (param $limit i32) (result i32)))
  (import "http_handler" "add_header_value"
    (func $add_header_value (param $kind i32) (param $name i32) (param $name_len i32) (param $value i32) (param $value_len i32)))

  (memory (export "memory") 1)
  (data (i32.const 0) "x-tag")  ;; 5 bytes
  (global $len (mut i32) (i32.const 0))

  (func $start (export "_start")
    (drop (call $enable_features (i32.const 2)))
    (global.set $len (call $get_config (i32.const 16) (i32.const 256))))

  (func $tag (param $kind i32)
    (call $add_header_value (local.get $kind) (i32.const 0) (i32.const 5) (i32.const 16) (global.get $len)))

  (func $handle_request (export "handle_request") (result i64)
    (if (i32.eqz (global.get $len)) (then unreachable))
    (call $tag (i32.const 0))
    (i64.const 1))

  (func $handle_response (export "handle_response") (param $ctx i32) (param $is_error i32)
    (call $tag (i32.const 1))))
