;; script: a CGI guest that does what its arguments say, one command each, named by the first character:
;;
;;   w<text>  writes the text to stdout
;;   v<text>  writes the text to stderr
;;   r        copies stdin to stdout until its end; reports an error of fd_read by exit code 9
;;   s        sleeps for 20 ms
;;   l        loops for ever
;;   t        traps
;;   e<n>     exits with the one-digit code n
;;   g        grows its memory by a page and fills it
;;   o        overflows its stack
(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))

  ;; 0: the count of arguments; 4: their size; 8: the iovec; 16: what fd_read and fd_write count; 64: the subscription;
  ;; 128: its event; 1024: the pointers; from 65536 the arguments; from 393216 the buffer of r.
  (memory (export "memory") 8)
  (data (i32.const 80) "\01\00\00\00")                   ;; clock id 1, monotonic
  (data (i32.const 88) "\00\2d\31\01\00\00\00\00")       ;; 20,000,000 ns

  (func $write (param $fd i32) (param $at i32) (param $n i32)
    (i32.store (i32.const 8) (local.get $at))
    (i32.store (i32.const 12) (local.get $n))
    (drop (call $fd_write (local.get $fd) (i32.const 8) (i32.const 1) (i32.const 16))))

  (func $length (param $at i32) (result i32) (local $n i32)
    (block $end
      (loop $next
        (br_if $end (i32.eqz (i32.load8_u (i32.add (local.get $at) (local.get $n)))))
        (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (br $next)))
    (local.get $n))

  (func $overflow (call $overflow) (call $overflow))

  (func $copy
    (loop $more
      (i32.store (i32.const 8) (i32.const 393216))
      (i32.store (i32.const 12) (i32.const 4096))
      (if (call $fd_read (i32.const 0) (i32.const 8) (i32.const 1) (i32.const 16))
        (then (call $proc_exit (i32.const 9))))
      (if (i32.load (i32.const 16))
        (then
          (call $write (i32.const 1) (i32.const 393216) (i32.load (i32.const 16)))
          (br $more)))))

  (func $run (param $at i32) (local $c i32) (local $rest i32)
    (local.set $c (i32.load8_u (local.get $at)))
    (local.set $rest (i32.add (local.get $at) (i32.const 1)))
    (if (i32.eq (local.get $c) (i32.const 0x77)) ;; w
      (then (call $write (i32.const 1) (local.get $rest) (call $length (local.get $rest)))))
    (if (i32.eq (local.get $c) (i32.const 0x76)) ;; v
      (then (call $write (i32.const 2) (local.get $rest) (call $length (local.get $rest)))))
    (if (i32.eq (local.get $c) (i32.const 0x72)) ;; r
      (then (call $copy)))
    (if (i32.eq (local.get $c) (i32.const 0x73)) ;; s
      (then (drop (call $poll_oneoff (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 16)))))
    (if (i32.eq (local.get $c) (i32.const 0x67)) ;; g
      (then
        (memory.fill (i32.shl (memory.grow (i32.const 1)) (i32.const 16)) (i32.const 0x55) (i32.const 65536))
        (memory.fill (i32.const 400000) (i32.const 0x55) (i32.const 50000))))
    (if (i32.eq (local.get $c) (i32.const 0x6f)) ;; o
      (then (call $overflow)))
    (if (i32.eq (local.get $c) (i32.const 0x6c)) ;; l
      (then (loop $forever (br $forever))))
    (if (i32.eq (local.get $c) (i32.const 0x74)) ;; t
      (then unreachable))
    (if (i32.eq (local.get $c) (i32.const 0x65)) ;; e
      (then (call $proc_exit (i32.sub (i32.load8_u (local.get $rest)) (i32.const 0x30))))))

  (func (export "_start") (local $i i32)
    (drop (call $args_sizes_get (i32.const 0) (i32.const 4)))
    (drop (call $args_get (i32.const 1024) (i32.const 65536)))
    (loop $next
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (if (i32.lt_u (local.get $i) (i32.load (i32.const 0)))
        (then
          (call $run (i32.load (i32.add (i32.const 1024) (i32.shl (local.get $i) (i32.const 2)))))
          (br $next))))))
