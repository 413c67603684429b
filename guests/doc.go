// Package guests holds programs that run inside the server: the Go guest kit (kit) and one example per language.
//
// The package itself is empty; its test builds the examples and serves them through package host.
package guests
