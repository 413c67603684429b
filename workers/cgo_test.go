//go:build cgo

package workers_test

// cgo says that system calls cannot be made on all threads: what is per thread is best effort then.
const cgo = true
