;; An http-wasm guest that runs a script of calls of the ABI, which the tests write as its configuration:
;;
;;   offset 0   u32 number of operations for _initialize
;;          4   u32 number of operations for handle_request
;;          8   u32 number of operations for handle_response
;;         16   u64 what handle_request returns
;;         24   the operations, 48 bytes each: u64 opcode, five u64 arguments
;;
;; Arguments are given as 64 bits so that the tests can put garbage above the 32 that count. Each operation leaves its
;; result as a u64 in the log, functions without one leave 0.
;;
;; Memory: 0x0fe0 reqCtx, 0x0fe4 isError, 0x0fe8 calls of handle_response, 0x0ff0 length of the log, 0x1000 the log,
;; 0x10000 the configuration, 0x20000 to 0x80000 (the end) free for the script.
(module
  (import "http_handler" "enable_features" (func $enable_features (param i32) (result i32)))
  (import "http_handler" "get_config" (func $get_config (param i32 i32) (result i32)))
  (import "http_handler" "log_enabled" (func $log_enabled (param i32) (result i32)))
  (import "http_handler" "log" (func $log (param i32 i32 i32)))
  (import "http_handler" "get_header_names" (func $get_header_names (param i32 i32 i32) (result i64)))
  (import "http_handler" "get_header_values" (func $get_header_values (param i32 i32 i32 i32 i32) (result i64)))
  (import "http_handler" "set_header_value" (func $set_header_value (param i32 i32 i32 i32 i32)))
  (import "http_handler" "add_header_value" (func $add_header_value (param i32 i32 i32 i32 i32)))
  (import "http_handler" "remove_header" (func $remove_header (param i32 i32 i32)))
  (import "http_handler" "read_body" (func $read_body (param i32 i32 i32) (result i64)))
  (import "http_handler" "write_body" (func $write_body (param i32 i32 i32)))
  (import "http_handler" "get_method" (func $get_method (param i32 i32) (result i32)))
  (import "http_handler" "set_method" (func $set_method (param i32 i32)))
  (import "http_handler" "get_uri" (func $get_uri (param i32 i32) (result i32)))
  (import "http_handler" "set_uri" (func $set_uri (param i32 i32)))
  (import "http_handler" "get_protocol_version" (func $get_protocol_version (param i32 i32) (result i32)))
  (import "http_handler" "get_source_addr" (func $get_source_addr (param i32 i32) (result i32)))
  (import "http_handler" "get_status_code" (func $get_status_code (result i32)))
  (import "http_handler" "set_status_code" (func $set_status_code (param i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))

  (memory (export "memory") 8 8)

  ;; arg returns the low 32 bits of an argument. The high ones stay in the register, as they do in compiled guests.
  (func $arg (param $op i32) (param $i i32) (result i32)
    (i32.wrap_i64 (i64.load (i32.add (local.get $op)
      (i32.mul (i32.add (local.get $i) (i32.const 1)) (i32.const 8))))))

  (func $record (param $result i64)
    (local $n i32)
    (local.set $n (i32.load (i32.const 0x0ff0)))
    (i64.store (i32.add (i32.const 0x1000) (i32.mul (local.get $n) (i32.const 8))) (local.get $result))
    (i32.store (i32.const 0x0ff0) (i32.add (local.get $n) (i32.const 1))))

  ;; echo reads the body of kind from and writes it to kind to until its end, through a buffer of limit bytes.
  (func $echo (param $from i32) (param $to i32) (param $buf i32) (param $limit i32) (result i64)
    (local $r i64) (local $total i64)
    (loop $more
      (local.set $r (call $read_body (local.get $from) (local.get $buf) (local.get $limit)))
      (call $write_body (local.get $to) (local.get $buf) (i32.wrap_i64 (local.get $r)))
      (local.set $total (i64.add (local.get $total) (i64.and (local.get $r) (i64.const 0xffffffff))))
      (br_if $more (i64.eqz (i64.shr_u (local.get $r) (i64.const 32)))))
    (local.get $total))

  (func $spin (loop $forever (br $forever)))

  (func $run (param $op i32)
    (local $n i32)
    (block $op_repeat
    (block $op_print
    (block $op_echo
    (block $op_spin
    (block $op_exit
    (block $op_trap
    (block $op_set_status_code
    (block $op_get_status_code
    (block $op_get_source_addr
    (block $op_get_protocol_version
    (block $op_set_uri
    (block $op_get_uri
    (block $op_set_method
    (block $op_get_method
    (block $op_write_body
    (block $op_read_body
    (block $op_remove_header
    (block $op_add_header_value
    (block $op_set_header_value
    (block $op_get_header_values
    (block $op_get_header_names
    (block $op_log
    (block $op_log_enabled
    (block $op_get_config
    (block $op_enable_features
      (br_table $op_enable_features $op_get_config $op_log_enabled $op_log $op_get_header_names $op_get_header_values $op_set_header_value $op_add_header_value $op_remove_header $op_read_body $op_write_body $op_get_method $op_set_method $op_get_uri $op_set_uri $op_get_protocol_version $op_get_source_addr $op_get_status_code $op_set_status_code $op_trap $op_exit $op_spin $op_echo $op_print $op_repeat (i32.wrap_i64 (i64.load (local.get $op))))
    ) ;; enable_features
    (call $record (i64.extend_i32_u (call $enable_features (call $arg (local.get $op) (i32.const 0))))) (return)
    ) ;; get_config
    (call $record (i64.extend_i32_u (call $get_config (call $arg (local.get $op) (i32.const 0)) (call $arg (local.get $op) (i32.const 1))))) (return)
    ) ;; log_enabled
    (call $record (i64.extend_i32_u (call $log_enabled (call $arg (local.get $op) (i32.const 0))))) (return)
    ) ;; log
    (call $log (call $arg (local.get $op) (i32.const 0)) (call $arg (local.get $op) (i32.const 1)) (call $arg (local.get $op) (i32.const 2))) (call $record (i64.const 0)) (return)
    ) ;; get_header_names
    (call $record (call $get_header_names (call $arg (local.get $op) (i32.const 0)) (call $arg (local.get $op) (i32.const 1)) (call $arg (local.get $op) (i32.const 2)))) (return)
    ) ;; get_header_values
    (call $record (call $get_header_values (call $arg (local.get $op) (i32.const 0)) (call $arg (local.get $op) (i32.const 1)) (call $arg (local.get $op) (i32.const 2)) (call $arg (local.get $op) (i32.const 3)) (call $arg (local.get $op) (i32.const 4)))) (return)
    ) ;; set_header_value
    (call $set_header_value (call $arg (local.get $op) (i32.const 0)) (call $arg (local.get $op) (i32.const 1)) (call $arg (local.get $op) (i32.const 2)) (call $arg (local.get $op) (i32.const 3)) (call $arg (local.get $op) (i32.const 4))) (call $record (i64.const 0)) (return)
    ) ;; add_header_value
    (call $add_header_value (call $arg (local.get $op) (i32.const 0)) (call $arg (local.get $op) (i32.const 1)) (call $arg (local.get $op) (i32.const 2)) (call $arg (local.get $op) (i32.const 3)) (call $arg (local.get $op) (i32.const 4))) (call $record (i64.const 0)) (return)
    ) ;; remove_header
    (call $remove_header (call $arg (local.get $op) (i32.const 0)) (call $arg (local.get $op) (i32.const 1)) (call $arg (local.get $op) (i32.const 2))) (call $record (i64.const 0)) (return)
    ) ;; read_body
    (call $record (call $read_body (call $arg (local.get $op) (i32.const 0)) (call $arg (local.get $op) (i32.const 1)) (call $arg (local.get $op) (i32.const 2)))) (return)
    ) ;; write_body
    (call $write_body (call $arg (local.get $op) (i32.const 0)) (call $arg (local.get $op) (i32.const 1)) (call $arg (local.get $op) (i32.const 2))) (call $record (i64.const 0)) (return)
    ) ;; get_method
    (call $record (i64.extend_i32_u (call $get_method (call $arg (local.get $op) (i32.const 0)) (call $arg (local.get $op) (i32.const 1))))) (return)
    ) ;; set_method
    (call $set_method (call $arg (local.get $op) (i32.const 0)) (call $arg (local.get $op) (i32.const 1))) (call $record (i64.const 0)) (return)
    ) ;; get_uri
    (call $record (i64.extend_i32_u (call $get_uri (call $arg (local.get $op) (i32.const 0)) (call $arg (local.get $op) (i32.const 1))))) (return)
    ) ;; set_uri
    (call $set_uri (call $arg (local.get $op) (i32.const 0)) (call $arg (local.get $op) (i32.const 1))) (call $record (i64.const 0)) (return)
    ) ;; get_protocol_version
    (call $record (i64.extend_i32_u (call $get_protocol_version (call $arg (local.get $op) (i32.const 0)) (call $arg (local.get $op) (i32.const 1))))) (return)
    ) ;; get_source_addr
    (call $record (i64.extend_i32_u (call $get_source_addr (call $arg (local.get $op) (i32.const 0)) (call $arg (local.get $op) (i32.const 1))))) (return)
    ) ;; get_status_code
    (call $record (i64.extend_i32_u (call $get_status_code))) (return)
    ) ;; set_status_code
    (call $set_status_code (call $arg (local.get $op) (i32.const 0))) (call $record (i64.const 0)) (return)
    ) ;; trap
    (unreachable)
    ) ;; exit
    (call $proc_exit (call $arg (local.get $op) (i32.const 0))) (return)
    ) ;; spin
    (call $spin) (return)
    ) ;; echo
    (call $record (call $echo (call $arg (local.get $op) (i32.const 0)) (call $arg (local.get $op) (i32.const 1)) (call $arg (local.get $op) (i32.const 2)) (call $arg (local.get $op) (i32.const 3)))) (return)
    ) ;; print
    ;; descriptor, text, its length; the iovec lies at 0x0f00
    (i32.store (i32.const 0x0f00) (call $arg (local.get $op) (i32.const 1)))
    (i32.store (i32.const 0x0f04) (call $arg (local.get $op) (i32.const 2)))
    (call $record (i64.extend_i32_u (call $fd_write (call $arg (local.get $op) (i32.const 0)) (i32.const 0x0f00) (i32.const 1) (i32.const 0x0f08)))) (return)
    ) ;; repeat
    ;; the next operation, so many times; it runs once more on its own
    (local.set $n (call $arg (local.get $op) (i32.const 0)))
    (loop $again
      (call $run (i32.add (local.get $op) (i32.const 48)))
      (i32.store (i32.const 0x0ff0) (i32.sub (i32.load (i32.const 0x0ff0)) (i32.const 1)))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $again (local.get $n)))
    (call $record (i64.const 0)))

  ;; script runs count operations from the first.
  (func $script (param $first i32) (param $count i32)
    (local $op i32)
    (local.set $op (i32.add (i32.const 0x10018) (i32.mul (local.get $first) (i32.const 48))))
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $count)))
        (call $run (local.get $op))
        (local.set $op (i32.add (local.get $op) (i32.const 48)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $next))))

  (func $_initialize (export "_initialize")
    (drop (call $get_config (i32.const 0x10000) (i32.const 0x10000)))
    (call $script (i32.const 0) (i32.load (i32.const 0x10000))))

  (func $handle_request (export "handle_request") (result i64)
    (call $script (i32.load (i32.const 0x10000)) (i32.load (i32.const 0x10004)))
    (i64.load (i32.const 0x10010)))

  (func $handle_response (export "handle_response") (param $reqCtx i32) (param $isError i32)
    (i32.store (i32.const 0x0fe0) (local.get $reqCtx))
    (i32.store (i32.const 0x0fe4) (local.get $isError))
    (i32.store (i32.const 0x0fe8) (i32.add (i32.load (i32.const 0x0fe8)) (i32.const 1)))
    (call $script
      (i32.add (i32.load (i32.const 0x10000)) (i32.load (i32.const 0x10004)))
      (i32.load (i32.const 0x10008)))))
