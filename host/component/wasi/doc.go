// Package wasi implements the interfaces of WASI 0.2 that have nothing to do with HTTP: streams, polling, clocks,
// randomness, what a command line gives, and directories. The WIT files say which functions there are; a component's
// declarations are compared with them. Whatever waits watches the context of the call. There is no network: sockets are
// refused.
package wasi
