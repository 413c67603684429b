;; echo: an http-wasm guest that answers 200 with the request's own body, of any size, 32 KiB at a time.
;; The response carries the method in x-method, the request target in x-target and the request's content-type.
(module
  (import "http_handler" "get_method" (func $get_method (param $buf i32) (param $limit i32) (result i32)))
  (import "http_handler" "get_uri" (func $get_uri (param $buf i32) (param $limit i32) (result i32)))
  (import "http_handler" "get_header_values"
    (func $get_header_values (param $kind i32) (param $name i32) (param $name_len i32) (param $buf i32) (param $limit i32) (result i64)))
  (import "http_handler" "set_header_value"
    (func $set_header_value (param $kind i32) (param $name i32) (param $name_len i32) (param $value i32) (param $value_len i32)))
  (import "http_handler" "read_body" (func $read_body (param $kind i32) (param $buf i32) (param $limit i32) (result i64)))
  (import "http_handler" "write_body" (func $write_body (param $kind i32) (param $body i32) (param $body_len i32)))

  (memory (export "memory") 2)
  (data (i32.const 0) "content-type")  ;; 12 bytes
  (data (i32.const 16) "x-method")     ;; 8 bytes
  (data (i32.const 32) "x-target")     ;; 8 bytes
  (global $buf i32 (i32.const 1024))
  (global $limit i32 (i32.const 32768))

  ;; set sets a response header to the len bytes at the buffer. A value that did not fit was not written to the
  ;; buffer, so its header is left out.
  (func $set (param $name i32) (param $name_len i32) (param $len i32)
    (if (i32.le_u (local.get $len) (global.get $limit))
      (then (call $set_header_value (i32.const 1) (local.get $name) (local.get $name_len) (global.get $buf) (local.get $len)))))

  ;; copy_content_type copies the first value; the host ends each with a NUL.
  (func $copy_content_type (local $count_len i64) (local $end i32)
    (local.set $count_len
      (call $get_header_values (i32.const 0) (i32.const 0) (i32.const 12) (global.get $buf) (global.get $limit)))
    (if (i64.eqz (local.get $count_len)) (then (return)))
    (if (i32.gt_u (i32.wrap_i64 (local.get $count_len)) (global.get $limit)) (then (return)))
    (local.set $end (global.get $buf))
    (loop $scan
      (if (i32.load8_u (local.get $end))
        (then
          (local.set $end (i32.add (local.get $end) (i32.const 1)))
          (br $scan))))
    (call $set (i32.const 0) (i32.const 12) (i32.sub (local.get $end) (global.get $buf))))

  ;; copy_body ends when the host sets the eof bit in the upper half of read_body's result.
  (func $copy_body (local $eof_len i64)
    (loop $more
      (local.set $eof_len (call $read_body (i32.const 0) (global.get $buf) (global.get $limit)))
      (if (i32.wrap_i64 (local.get $eof_len))
        (then (call $write_body (i32.const 1) (global.get $buf) (i32.wrap_i64 (local.get $eof_len)))))
      (br_if $more (i64.eqz (i64.shr_u (local.get $eof_len) (i64.const 32))))))

  (func $handle_request (export "handle_request") (result i64)
    (call $copy_content_type)
    (call $set (i32.const 16) (i32.const 8) (call $get_method (global.get $buf) (global.get $limit)))
    (call $set (i32.const 32) (i32.const 8) (call $get_uri (global.get $buf) (global.get $limit)))
    (call $copy_body)
    (i64.const 0))

  (func $handle_response (export "handle_response") (param $ctx i32) (param $is_error i32)))
