// Package goplugin serves requests with Go plugins: shared objects that `go build -buildmode=plugin` makes of an
// ordinary net/http handler. A plugin is native code inside the worker process. It is not sandboxed and has no memory
// limit of its own; what it breaks, it breaks for its worker.
//
// The contract is in types of the standard library alone, so that a plugin need not share any other package with the
// server. A plugin exports one of
//
//	func NewHandler(config map[string]string) (http.Handler, error)
//	var Handler http.Handler
//
// and, if it has something to give back when the worker ends,
//
//	func Close(ctx context.Context) error
//
// A plugin must be built by the very toolchain, with the very flags and versions of shared packages that the server
// was built with. The Go runtime finds out only after it has mapped the file, tells of the first difference alone, and
// ends the process when the file is no plugin at all. Check finds out everything beforehand and without loading.
//
// Nothing unloads a plugin: a worker process is the unit of reloading. The package is called by package host in
// workers, and by the command for its checks. It reads no settings and knows no sockets.
package goplugin
