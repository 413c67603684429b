;; hostile: an http-wasm guest that answers every request with 200 "ok" and misbehaves on these paths only:
;;
;;   /spin            loops for ever
;;   /trap            executes unreachable
;;   /grow            grows its memory and touches every new page until the host refuses, then traps
;;   /recurse         recurses until the stack is used up
;;   /sleep           sleeps 60 s in WASI's poll_oneoff
;;   /headers         sets x-evil to a value with CR LF and a second header in it; also /headers?crlf
;;   /headers?nul     sets x-evil to a value with a NUL in it
;;   /headers?many    adds 10,000 fields named x-many
;;   /headers?big     sets x-big to 1 MiB of "b"
;;   /big             writes a body of 1 GiB in pieces of 64 KiB
;;   /status?<n>      sets the status n, say 0, 99, 101 or 1000
;;   /tablegrow       grows a table until the host refuses, then answers "ok"
;;   /exit            calls WASI's proc_exit(3)
;;   /log             writes lines with ESC, CR, a tab and the byte 0xff to stderr and to the host's log, then answers "ok"
(module
  (import "http_handler" "get_uri" (func $get_uri (param $buf i32) (param $limit i32) (result i32)))
  (import "http_handler" "set_header_value"
    (func $set_header_value (param $kind i32) (param $name i32) (param $name_len i32) (param $value i32) (param $value_len i32)))
  (import "http_handler" "add_header_value"
    (func $add_header_value (param $kind i32) (param $name i32) (param $name_len i32) (param $value i32) (param $value_len i32)))
  (import "http_handler" "write_body" (func $write_body (param $kind i32) (param $body i32) (param $body_len i32)))
  (import "http_handler" "set_status_code" (func $set_status_code (param $status i32)))
  (import "http_handler" "log" (func $log (param $level i32) (param $message i32) (param $message_len i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll_oneoff (param $in i32) (param $out i32) (param $n i32) (param $nevents i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param $code i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param $fd i32) (param $iovs i32) (param $n i32) (param $nwritten i32) (result i32)))

  ;; Page 0: strings, WASI structures and the target. Pages 1 to 16: 1 MiB for bodies and the big value.
  (memory (export "memory") 17)
  (data (i32.const 0) "content-type")                 ;; 12
  (data (i32.const 16) "text/plain; charset=utf-8")   ;; 25
  (data (i32.const 48) "ok")                          ;; 2
  (data (i32.const 64) "x-evil")                      ;; 6
  (data (i32.const 80) "x-many")                      ;; 6
  (data (i32.const 96) "x-big")                       ;; 5
  (data (i32.const 112) "a\r\nset-cookie: injected=1") ;; 25
  (data (i32.const 144) "a\00b")                      ;; 3

  (data (i32.const 160) "/spin")       ;; 5
  (data (i32.const 176) "/trap")       ;; 5
  (data (i32.const 192) "/grow")       ;; 5
  (data (i32.const 208) "/recurse")    ;; 8
  (data (i32.const 224) "/sleep")      ;; 6
  (data (i32.const 240) "/headers")    ;; 8
  (data (i32.const 256) "/big")        ;; 4
  (data (i32.const 272) "/status")     ;; 7
  (data (i32.const 288) "/tablegrow")  ;; 10
  (data (i32.const 304) "/exit")       ;; 5
  (data (i32.const 320) "/log")        ;; 4
  (data (i32.const 336) "nul")         ;; 3
  (data (i32.const 352) "many")        ;; 4
  (data (i32.const 368) "big")         ;; 3

  ;; What /log writes: an escape sequence that clears a terminal, a line that passes itself off as one of the
  ;; server's, a carriage return, a tab and a byte that is not UTF-8.
  (data (i32.const 400) "\1b[2J\1b[31mred\nlevel=ERROR msg=\"forged\"\rover\09tab\ff\n") ;; 48

  ;; A subscription of poll_oneoff at 512: userdata u64, tag u8 = 0 (clock) at 8, clock id u32 = 1 (monotonic) at 16,
  ;; timeout u64 = 60,000,000,000 ns at 24, precision u64 at 32, flags u16 = 0 (relative) at 40.
  (data (i32.const 528) "\01\00\00\00")
  (data (i32.const 536) "\00\58\47\f8\0d\00\00\00")
  ;; The iovec of fd_write at 576: address 400, length 48.
  (data (i32.const 576) "\90\01\00\00\30\00\00\00")
  ;; 592: what fd_write and poll_oneoff count. 608: the event of poll_oneoff, 32 bytes.

  (global $target i32 (i32.const 1024))
  (global $target_limit i32 (i32.const 4096))
  (global $pad i32 (i32.const 65536))
  (global $path_len (mut i32) (i32.const 0))
  (global $query (mut i32) (i32.const 0))
  (global $query_len (mut i32) (i32.const 0))

  ;; Deliberately without a maximum.
  (table $table 1 funcref)

  ;; equal compares two byte strings.
  (func $equal (param $a i32) (param $a_len i32) (param $b i32) (param $b_len i32) (result i32)
    (if (i32.ne (local.get $a_len) (local.get $b_len)) (then (return (i32.const 0))))
    (loop $next
      (if (i32.eqz (local.get $a_len)) (then (return (i32.const 1))))
      (local.set $a_len (i32.sub (local.get $a_len) (i32.const 1)))
      (br_if $next
        (i32.eq
          (i32.load8_u (i32.add (local.get $a) (local.get $a_len)))
          (i32.load8_u (i32.add (local.get $b) (local.get $a_len))))))
    (i32.const 0))

  (func $path_is (param $s i32) (param $len i32) (result i32)
    (call $equal (global.get $target) (global.get $path_len) (local.get $s) (local.get $len)))

  (func $query_is (param $s i32) (param $len i32) (result i32)
    (call $equal (global.get $query) (global.get $query_len) (local.get $s) (local.get $len)))

  ;; read_target gets the request target and splits it at the first "?". A target too long for the buffer counts as empty.
  (func $read_target (local $len i32) (local $i i32)
    (local.set $len (call $get_uri (global.get $target) (global.get $target_limit)))
    (if (i32.gt_u (local.get $len) (global.get $target_limit)) (then (local.set $len (i32.const 0))))
    (global.set $path_len (local.get $len))
    (global.set $query_len (i32.const 0))
    (block $done
      (loop $scan
        (br_if $done (i32.ge_u (local.get $i) (local.get $len)))
        (if (i32.eq (i32.load8_u (i32.add (global.get $target) (local.get $i))) (i32.const 0x3f))
          (then
            (global.set $path_len (local.get $i))
            (global.set $query (i32.add (global.get $target) (i32.add (local.get $i) (i32.const 1))))
            (global.set $query_len (i32.sub (local.get $len) (i32.add (local.get $i) (i32.const 1))))
            (br $done)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $scan))))

  (func $spin (loop $forever (br $forever)))

  (func $trap unreachable)

  ;; grow takes 16 pages at a time, then one at a time, and writes to each so that the host must back them.
  (func $grow (local $step i32) (local $page i32) (local $end i32)
    (local.set $step (i32.const 16))
    (loop $more
      (local.set $page (memory.grow (local.get $step)))
      (if (i32.ne (local.get $page) (i32.const -1))
        (then
          (local.set $end (i32.add (local.get $page) (local.get $step)))
          (loop $touch
            (i32.store (i32.shl (local.get $page) (i32.const 16)) (i32.const 1))
            (local.set $page (i32.add (local.get $page) (i32.const 1)))
            (br_if $touch (i32.lt_u (local.get $page) (local.get $end))))
          (br $more)))
      (if (i32.gt_u (local.get $step) (i32.const 1))
        (then
          (local.set $step (i32.const 1))
          (br $more))))
    unreachable)

  ;; recurse uses its result after the call, so no compiler can turn it into a loop.
  (func $recurse (param $depth i64) (result i64)
    (i64.add (call $recurse (i64.add (local.get $depth) (i64.const 1))) (local.get $depth)))

  (func $sleep
    (drop (call $poll_oneoff (i32.const 512) (i32.const 608) (i32.const 1) (i32.const 592))))

  (func $headers (local $n i32)
    (if (call $query_is (i32.const 336) (i32.const 3))
      (then
        (call $set_header_value (i32.const 1) (i32.const 64) (i32.const 6) (i32.const 144) (i32.const 3))
        (return)))
    (if (call $query_is (i32.const 352) (i32.const 4))
      (then
        (loop $more
          (call $add_header_value (i32.const 1) (i32.const 80) (i32.const 6) (i32.const 48) (i32.const 2))
          (local.set $n (i32.add (local.get $n) (i32.const 1)))
          (br_if $more (i32.lt_u (local.get $n) (i32.const 10000))))
        (return)))
    (if (call $query_is (i32.const 368) (i32.const 3))
      (then
        (memory.fill (global.get $pad) (i32.const 0x62) (i32.const 1048576))
        (call $set_header_value (i32.const 1) (i32.const 96) (i32.const 5) (global.get $pad) (i32.const 1048576))
        (return)))
    (call $set_header_value (i32.const 1) (i32.const 64) (i32.const 6) (i32.const 112) (i32.const 25)))

  (func $big (local $n i32)
    (memory.fill (global.get $pad) (i32.const 0x62) (i32.const 65536))
    (loop $more
      (call $write_body (i32.const 1) (global.get $pad) (i32.const 65536))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $more (i32.lt_u (local.get $n) (i32.const 16384)))))

  ;; status takes the query as a decimal number and stops at the first byte that is no digit.
  (func $status (local $i i32) (local $digit i32) (local $code i32)
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $i) (global.get $query_len)))
        (local.set $digit
          (i32.sub (i32.load8_u (i32.add (global.get $query) (local.get $i))) (i32.const 0x30)))
        (br_if $done (i32.gt_u (local.get $digit) (i32.const 9)))
        (local.set $code (i32.add (i32.mul (local.get $code) (i32.const 10)) (local.get $digit)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    (call $set_status_code (local.get $code)))

  (func $table_grow
    (loop $more
      (br_if $more
        (i32.ne (table.grow $table (ref.null func) (i32.const 65536)) (i32.const -1)))))

  (func $write_log
    (drop (call $fd_write (i32.const 2) (i32.const 576) (i32.const 1) (i32.const 592)))
    (call $log (i32.const 0) (i32.const 400) (i32.const 48)))

  (func $ok
    (call $set_header_value (i32.const 1) (i32.const 0) (i32.const 12) (i32.const 16) (i32.const 25))
    (call $write_body (i32.const 1) (i32.const 48) (i32.const 2)))

  (func $handle_request (export "handle_request") (result i64)
    (call $read_target)
    (if (call $path_is (i32.const 160) (i32.const 5)) (then (call $spin)))
    (if (call $path_is (i32.const 176) (i32.const 5)) (then (call $trap)))
    (if (call $path_is (i32.const 192) (i32.const 5)) (then (call $grow)))
    (if (call $path_is (i32.const 208) (i32.const 8)) (then (drop (call $recurse (i64.const 0)))))
    (if (call $path_is (i32.const 224) (i32.const 6)) (then (call $sleep)))
    (if (call $path_is (i32.const 240) (i32.const 8)) (then (call $headers)))
    (if (call $path_is (i32.const 256) (i32.const 4)) (then (call $big) (return (i64.const 0))))
    (if (call $path_is (i32.const 272) (i32.const 7)) (then (call $status)))
    (if (call $path_is (i32.const 288) (i32.const 10)) (then (call $table_grow)))
    (if (call $path_is (i32.const 304) (i32.const 5)) (then (call $proc_exit (i32.const 3))))
    (if (call $path_is (i32.const 320) (i32.const 4)) (then (call $write_log)))
    (call $ok)
    (i64.const 0))

  (func $handle_response (export "handle_response") (param $ctx i32) (param $is_error i32)))
