;; cgienv: a CGI guest that lists what it was given: a line "arg <value>" for each argument, argv[0] included, and a line
;; "env <name>=<value>" for each environment variable, in order. It traps when either takes more than 256 KiB.
(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param $n i32) (param $size i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param $argv i32) (param $buf i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes_get (param $n i32) (param $size i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ_get (param $environ i32) (param $buf i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param $fd i32) (param $iovs i32) (param $n i32) (param $nwritten i32) (result i32)))

  ;; Page 0: count at 0, size at 4, three iovecs at 16, what fd_write counts at 40, strings from 64.
  ;; Pages 1 to 4: pointers. Pages 5 to 8: the strings they point to.
  (memory (export "memory") 9)
  (data (i32.const 64) "Content-Type: text/plain; charset=utf-8\n\n")  ;; 41 bytes
  (data (i32.const 112) "arg ")
  (data (i32.const 120) "env ")
  (data (i32.const 128) "\n")
  (global $pointers i32 (i32.const 65536))
  (global $strings i32 (i32.const 327680))
  (global $room i32 (i32.const 262144))

  (func $check_sizes
    (if (i32.gt_u (i32.load (i32.const 0)) (i32.div_u (global.get $room) (i32.const 4))) (then unreachable))
    (if (i32.gt_u (i32.load (i32.const 4)) (global.get $room)) (then unreachable)))

  (func $length (param $s i32) (result i32) (local $end i32)
    (local.set $end (local.get $s))
    (loop $scan
      (if (i32.load8_u (local.get $end))
        (then
          (local.set $end (i32.add (local.get $end) (i32.const 1)))
          (br $scan))))
    (i32.sub (local.get $end) (local.get $s)))

  ;; list writes the strings, each between the 4 bytes at prefix and a line feed.
  (func $list (param $prefix i32) (local $i i32) (local $s i32)
    (i32.store (i32.const 16) (local.get $prefix))
    (i32.store (i32.const 20) (i32.const 4))
    (i32.store (i32.const 32) (i32.const 128))
    (i32.store (i32.const 36) (i32.const 1))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $i) (i32.load (i32.const 0))))
        (local.set $s (i32.load (i32.add (global.get $pointers) (i32.shl (local.get $i) (i32.const 2)))))
        (i32.store (i32.const 24) (local.get $s))
        (i32.store (i32.const 28) (call $length (local.get $s)))
        (if (call $fd_write (i32.const 1) (i32.const 16) (i32.const 3) (i32.const 40)) (then unreachable))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next))))

  (func $start (export "_start")
    (i32.store (i32.const 16) (i32.const 64))
    (i32.store (i32.const 20) (i32.const 41))
    (drop (call $fd_write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 40)))
    (drop (call $args_sizes_get (i32.const 0) (i32.const 4)))
    (call $check_sizes)
    (drop (call $args_get (global.get $pointers) (global.get $strings)))
    (call $list (i32.const 112))
    (drop (call $environ_sizes_get (i32.const 0) (i32.const 4)))
    (call $check_sizes)
    (drop (call $environ_get (global.get $pointers) (global.get $strings)))
    (call $list (i32.const 120))))
