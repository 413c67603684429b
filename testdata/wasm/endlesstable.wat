;; endlesstable: an http-wasm guest with a table without a maximum, which its _start grows until the host refuses; then
;; it traps. Loading it must fail, and before the table has taken gigabytes: a host may refuse the module for the
;; missing maximum or put in one of its own.
(module
  (import "http_handler" "set_status_code" (func $set_status_code (param $status i32)))
  (memory (export "memory") 1)
  (table $table 1 funcref)
  (func $start (export "_start")
    (loop $more
      (br_if $more
        (i32.ne (table.grow $table (ref.null func) (i32.const 65536)) (i32.const -1))))
    unreachable)
  (func $handle_request (export "handle_request") (result i64) (i64.const 0))
  (func $handle_response (export "handle_response") (param $ctx i32) (param $is_error i32)))
