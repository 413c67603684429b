//go:build !cgo

package workers_test

const cgo = false
