;; cgiredirect: a CGI guest that answers by PATH_INFO:
;;
;;   /local     200 and the line "arrived with <QUERY_STRING> by <REQUEST_METHOD>"
;;   /absolute  a client redirect (RFC 3875 §6.2.3) to https://example.com/elsewhere
;;   any other  a local redirect (§6.2.2) to /local?from=cgi, which the server follows by itself
(module
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes_get (param $n i32) (param $size i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ_get (param $environ i32) (param $buf i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param $fd i32) (param $iovs i32) (param $n i32) (param $nwritten i32) (result i32)))

  ;; Page 0: count at 0, size at 4, an iovec at 16, what fd_write counts at 24, strings from 64.
  ;; Page 1: pointers. Pages 2 to 5: the environment they point to.
  (memory (export "memory") 6)
  (data (i32.const 64) "PATH_INFO=/local\00")            ;; 17 bytes with the NUL
  (data (i32.const 96) "PATH_INFO=/absolute\00")         ;; 20 bytes with the NUL
  (data (i32.const 128) "QUERY_STRING=")                 ;; 13 bytes
  (data (i32.const 144) "REQUEST_METHOD=")               ;; 15 bytes
  (data (i32.const 192) "Content-Type: text/plain\n\narrived with ")       ;; 39 bytes
  (data (i32.const 240) " by ")
  (data (i32.const 248) "\n")
  (data (i32.const 256) "Location: https://example.com/elsewhere\n\n")     ;; 41 bytes
  (data (i32.const 304) "Location: /local?from=cgi\n\n")                   ;; 27 bytes
  (global $pointers i32 (i32.const 65536))
  (global $strings i32 (i32.const 131072))

  (func $write (param $p i32) (param $len i32)
    (i32.store (i32.const 16) (local.get $p))
    (i32.store (i32.const 20) (local.get $len))
    (if (call $fd_write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 24)) (then unreachable)))

  (func $has_prefix (param $s i32) (param $prefix i32) (param $len i32) (result i32)
    (loop $next
      (if (i32.eqz (local.get $len)) (then (return (i32.const 1))))
      (local.set $len (i32.sub (local.get $len) (i32.const 1)))
      (br_if $next
        (i32.eq
          (i32.load8_u (i32.add (local.get $s) (local.get $len)))
          (i32.load8_u (i32.add (local.get $prefix) (local.get $len))))))
    (i32.const 0))

  ;; find returns what follows the prefix in the first variable that has it, or 0.
  (func $find (param $prefix i32) (param $len i32) (result i32) (local $i i32) (local $s i32)
    (loop $next
      (if (i32.ge_u (local.get $i) (i32.load (i32.const 0))) (then (return (i32.const 0))))
      (local.set $s (i32.load (i32.add (global.get $pointers) (i32.shl (local.get $i) (i32.const 2)))))
      (if (call $has_prefix (local.get $s) (local.get $prefix) (local.get $len))
        (then (return (i32.add (local.get $s) (local.get $len)))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $next))
    unreachable)

  (func $write_variable (param $prefix i32) (param $len i32) (local $s i32) (local $end i32)
    (local.set $s (call $find (local.get $prefix) (local.get $len)))
    (if (i32.eqz (local.get $s)) (then (return)))
    (local.set $end (local.get $s))
    (loop $scan
      (if (i32.load8_u (local.get $end))
        (then
          (local.set $end (i32.add (local.get $end) (i32.const 1)))
          (br $scan))))
    (call $write (local.get $s) (i32.sub (local.get $end) (local.get $s))))

  (func $arrived
    (call $write (i32.const 192) (i32.const 39))
    (call $write_variable (i32.const 128) (i32.const 13))
    (call $write (i32.const 240) (i32.const 4))
    (call $write_variable (i32.const 144) (i32.const 15))
    (call $write (i32.const 248) (i32.const 1)))

  (func $start (export "_start")
    (drop (call $environ_sizes_get (i32.const 0) (i32.const 4)))
    (if (i32.gt_u (i32.load (i32.const 0)) (i32.const 16384)) (then unreachable))
    (if (i32.gt_u (i32.load (i32.const 4)) (i32.const 262144)) (then unreachable))
    (drop (call $environ_get (global.get $pointers) (global.get $strings)))
    (if (call $find (i32.const 64) (i32.const 17)) (then (call $arrived) (return)))
    (if (call $find (i32.const 96) (i32.const 20))
      (then (call $write (i32.const 256) (i32.const 41)) (return)))
    (call $write (i32.const 304) (i32.const 27))))
