;; badexports: imports http_handler, so it is meant for the http-wasm ABI, but its handle_request returns an i32 where
;; the ABI wants an i64 and it has no handle_response. Loading it must fail and say so.
(module
  (import "http_handler" "set_status_code" (func $set_status_code (param $status i32)))
  (memory (export "memory") 1)
  (func $handle_request (export "handle_request") (result i32)
    (call $set_status_code (i32.const 200))
    (i32.const 0)))
