// Package hooks runs the commands that operators attach to events of the server: Runner in the arbiter's process queues
// them, starts a helper process for each, logs what comes of it and never holds anybody up; Main is that helper. Command
// appserver feeds the Runner with the arbiter's events and becomes the helper when it is run as "appserver hook-runner".
// The package does not know which events there are.
//
// # Why a helper process
//
// The arbiter reaps all children with wait4(-1), as process 1 even strangers. A command started by the arbiter itself
// would have its status taken from whoever waits for it. So this very program is started once more for each command and
// does what takes a parent: waits for the command, ends its process group at the time limit, reads its output, and
// reports over a pipe. What the arbiter reaps is the helper, whose status says nothing, and the arbiter needs to know
// nothing of it.
//
// # Order and bounds
//
// Commands with the same key run one after the other in the order of their events; a worker's exit is never handled
// before its start. Commands with different keys run side by side, up to four. Up to 256 wait; what comes then is dropped
// with a record in the log.
package hooks
