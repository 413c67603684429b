// Package abi runs what host/component/link has planned: it makes the host functions that a component's core modules
// import, and calls what the component exports, by the canonical ABI (component-model repository,
// design/mvp/CanonicalABI.md) for synchronous functions: values of all types, three encodings of strings, handles with
// lending, resources and their destructors, calls from one component to another inside, and every trap.
//
// Values of the component model are Go values while they are between two memories: bool; uint8 to uint64, int8 to int64;
// float32 and float64; rune; string; []byte for list<u8> and []any for other lists; []any for records and tuples;
// Variant for variants, enums, options and results; uint32 for flags. A handle of a resource of the host is whatever the
// host gave for it; one of a guest is a *Guest.
//
// The package knows no WASI and no HTTP: the functions that the host offers are given to it. host/component is its
// caller, host/component/wasi and host/component/wasihttp implement functions for it.
package abi
