// Package workers is the worker process: its boot, the worker classes' common ground, and its end. cmd/appserver calls
// Main in processes that the arbiter has started and registers the classes, which are packages of their own. What a
// guest is, how it is loaded and where logs go, workers are told by functions in Options; they parse no HTTP
// (http1) and open no sockets (the arbiter does).
//
// A worker's life:
//
//	hello     The worker says on descriptor 3 that it is one, and gets its settings, all of them, from there.
//	boot      Step by step (boot.go), each reported as a stage. A step that fails is reported with its hint and ends
//	          the process with gunicorn's exit codes: 4 when the guest failed to load, 3 otherwise.
//	ready     The guest is loaded and its class has what it needs. With check, this is the end.
//	serving   The class (Class, Front) accepts and answers. A beat several times a second on the scoreboard says that
//	          the process is not frozen; a row for each slot says what it is doing.
//	retiring  After max_requests the worker asks for a replacement and serves on.
//	draining  Told to, by SIGTERM, or because the arbiter is gone, it accepts no more and finishes what it has: the next
//	          response on each connection is its last, idle connections end with keep-alive, and what is left at the
//	          end of the grace is cut off. http.Server.Shutdown is not used: it closes connections on which a request may
//	          be arriving, and so loses some at every reload.
//	exit      0.
//
// Nothing here can stop a guest that cannot be interrupted: it stops every goroutine of the process at the next garbage
// collection. The arbiter sees the beat stop and kills the worker. If the arbiter is gone or stopped too, a timer in the
// kernel does (deadman.go). SIGABRT and SIGQUIT are left to the Go runtime, which handles them in a frozen process, too.
package workers
