// Package binary parses WebAssembly components (component-model repository, design/mvp/Binary.md): all sections, all
// types and all canonical built-ins, those of asynchronous components included, into a tree of definitions in the order
// in which the file has them. It checks the grammar and bounds what a file can make it hold or do, no more: what
// definitions refer to, and whether this server can run them, is the business of host/component/link, its only caller.
//
// The tree shares memory with the bytes that were parsed; they must not change.
package binary
