;; noabi: a valid module that follows none of the ABIs a server knows: no import of http_handler, no _start.
(module
  (func (export "add") (param $a i32) (param $b i32) (result i32)
    (i32.add (local.get $a) (local.get $b))))
