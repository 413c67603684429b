// Package wasi implements the interfaces of WASI 0.2 that have nothing to do with HTTP: streams, polling, clocks,
// randomness and what a command line gives. wasi.wit says which functions there are; a component's declarations are
// compared with it. Whatever waits watches the context of the call. Sockets do not exist: they are for host/component to
// refuse like everything that is not here.
package wasi
