;; Components that call each other, with strings in different encodings.

(component
  (component $echo
    (core module $m
      (memory (export "mem") 1)
      (global $top (mut i32) (i32.const 256))
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $p i32)
        (local.set $p (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
        (global.set $top (i32.add (local.get $p) (local.get 3)))
        (local.get $p))
      (func (export "echo") (param i32 i32) (result i32)
        (i32.store (i32.const 0) (local.get 0))
        (i32.store (i32.const 4) (local.get 1))
        (i32.const 0)))
    (core instance $i (instantiate $m))
    (func (export "echo") (param "s" string) (result string)
      (canon lift (core func $i "echo") string-encoding=utf16 (memory $i "mem") (realloc (func $i "realloc")))))
  (component $relay
    (import "echo" (func $echo (param "s" string) (result string)))
    (core module $memory
      (memory (export "mem") 1)
      (global $top (mut i32) (i32.const 256))
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $p i32)
        (local.set $p (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
        (global.set $top (i32.add (local.get $p) (local.get 3)))
        (local.get $p)))
    (core instance $mem (instantiate $memory))
    (core func $echo' (canon lower (func $echo) string-encoding=latin1+utf16 (memory $mem "mem") (realloc (func $mem "realloc"))))
    (core module $m
      (import "" "echo" (func $echo (param i32 i32 i32)))
      (func (export "relay") (param i32 i32) (result i32)
        (call $echo (local.get 0) (local.get 1) (i32.const 16))
        (i32.const 16)))
    (core instance $i (instantiate $m (with "" (instance (export "echo" (func $echo'))))))
    (func (export "relay") (param "s" string) (result string)
      (canon lift (core func $i "relay") string-encoding=latin1+utf16 (memory $mem "mem") (realloc (func $mem "realloc")))))
  (instance $e (instantiate $echo))
  (instance $r (instantiate $relay (with "echo" (func $e "echo"))))
  (func (export "relay") (alias export $r "relay")))
(assert_return (invoke "relay" (str.const "plain")) (str.const "plain"))
(assert_return (invoke "relay" (str.const "grüße")) (str.const "grüße"))
(assert_return (invoke "relay" (str.const "世界 😀")) (str.const "世界 😀"))

;; One component instantiated twice has its state twice; modules are passed from component to component.
(component
  (core module $counter
    (global $n (mut i32) (i32.const 0))
    (func (export "next") (result i32)
      (global.set $n (i32.add (global.get $n) (i32.const 1)))
      (global.get $n)))
  (component $c
    (import "m" (core module $m (export "next" (func (result i32)))))
    (core instance $i (instantiate $m))
    (func (export "next") (result u32) (canon lift (core func $i "next"))))
  (instance $a (instantiate $c (with "m" (core module $counter))))
  (instance $b (instantiate $c (with "m" (core module $counter))))
  (func (export "a") (alias export $a "next"))
  (func (export "b") (alias export $b "next")))
(assert_return (invoke "a") (u32.const 1))
(assert_return (invoke "a") (u32.const 2))
(assert_return (invoke "b") (u32.const 1))

;; Start functions of core modules run in their order and see what came before.
(component
  (core module $a
    (memory (export "mem") 1)
    (func $start (i32.store (i32.const 0) (i32.const 5)))
    (start $start))
  (core instance $a' (instantiate $a))
  (core module $b
    (import "a" "mem" (memory 1))
    (func $start (i32.store (i32.const 0) (i32.mul (i32.load (i32.const 0)) (i32.const 3))))
    (start $start)
    (func (export "get") (result i32) (i32.load (i32.const 0))))
  (core instance $b' (instantiate $b (with "a" (instance $a'))))
  (func (export "get") (result u32) (canon lift (core func $b' "get"))))
(assert_return (invoke "get") (u32.const 15))

;; Tables that one module has and another fills, as wit-component makes them for functions that need a memory.
(component
  (core module $shim
    (table (export "$imports") 1 1 funcref)
    (type $t (func (result i32)))
    (func (export "0") (result i32) (call_indirect (type $t) (i32.const 0))))
  (core instance $s (instantiate $shim))
  (core module $main (import "" "f" (func $f (result i32))) (func (export "go") (result i32) (call $f)))
  (core instance $m (instantiate $main (with "" (instance (export "f" (func $s "0"))))))
  (core module $fix
    (import "" "$imports" (table 1 1 funcref))
    (func $f (result i32) (i32.const 77))
    (elem (i32.const 0) func $f))
  (core instance (instantiate $fix (with "" (instance (export "$imports" (table $s "$imports"))))))
  (func (export "go") (result u32) (canon lift (core func $m "go"))))
(assert_return (invoke "go") (u32.const 77))

;; A component cannot be entered while it has called out.
(component
  (component $inner
    (import "back" (func $back))
    (core func $back' (canon lower (func $back)))
    (core module $m
      (import "" "back" (func $back))
      (func (export "call") (call $back)))
    (core instance $i (instantiate $m (with "" (instance (export "back" (func $back'))))))
    (func (export "call") (canon lift (core func $i "call"))))
  (component $leaf
    (core module $m (func (export "f")))
    (core instance $i (instantiate $m))
    (func (export "f") (canon lift (core func $i "f"))))
  (instance $l (instantiate $leaf))
  (instance $a (instantiate $inner (with "back" (func $l "f"))))
  (instance $b (instantiate $inner (with "back" (func $a "call"))))
  (func (export "chain") (alias export $b "call"))
  ;; a function of a core module that calls what the same component instance lifts
  (core module $table (table (export "t") 1 funcref) (type $t (func)) (func (export "f") (call_indirect (type $t) (i32.const 0))))
  (core instance $t (instantiate $table))
  (func $self (canon lift (core func $t "f")))
  (core func $self' (canon lower (func $self)))
  (core module $fill (import "" "t" (table 1 funcref)) (import "" "f" (func $f)) (elem (i32.const 0) func $f))
  (core instance (instantiate $fill (with "" (instance (export "t" (table $t "t")) (export "f" (func $self'))))))
  (export "self" (func $self)))
(assert_return (invoke "chain"))
(assert_trap (invoke "self") "cannot enter component instance")

;; Nothing can be called out of realloc and post-return.
(component
  (component $leaf
    (core module $m (func (export "f")))
    (core instance $i (instantiate $m))
    (func (export "f") (canon lift (core func $i "f"))))
  (instance $l (instantiate $leaf))
  (component $c
    (import "f" (func $f))
    (core func $f' (canon lower (func $f)))
    (core module $m
      (import "" "f" (func $f))
      (memory (export "mem") 1)
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) (call $f) (i32.const 0))
      (func (export "post") (param i32) (call $f))
      (func (export "take") (param i32 i32))
      (func (export "get") (result i32) (i32.const 1)))
    (core instance $i (instantiate $m (with "" (instance (export "f" (func $f'))))))
    (func (export "take") (param "s" string) (canon lift (core func $i "take") (memory $i "mem") (realloc (func $i "realloc"))))
    (func (export "get") (result u32) (canon lift (core func $i "get") (post-return (func $i "post")))))
  (instance $i (instantiate $c (with "f" (func $l "f"))))
  (func (export "take") (alias export $i "take"))
  (func (export "get") (alias export $i "get")))
(assert_trap (invoke "take" (str.const "x")) "cannot leave component instance")
(assert_trap (invoke "get") "cannot leave component instance")

;; What is not supported, or does not fit, is said when it is loaded.
(assert_unlinkable (component (type (func async))) "WASI 0.3 async")
(assert_unlinkable (component (core func (canon waitable-set.new))) "WASI 0.3 async (waitable-set.new)")
(assert_unlinkable (component (type (stream u8))) "WASI 0.3 async")
(assert_unlinkable
  (component
    (core module $m (func (export "f") (param i32)))
    (core instance $i (instantiate $m))
    (core module $n (import "" "f" (func)))
    (core instance (instantiate $n (with "" (instance $i)))))
  "do not fit")
