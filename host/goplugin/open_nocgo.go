//go:build !cgo || !linux

package goplugin

// Supported says whether this build can load plugins: whether it was built with cgo.
const Supported = false

// open explains why nothing can be opened.
func open(string) (lookup, error) { return nil, Unsupported() }
