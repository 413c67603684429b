// Package postmortem tells where compiled guest code is in a process that can no longer tell itself.
//
// A worker whose guest loops with interrupt = "off" is frozen as soon as its garbage collector runs: not a single goroutine
// of it answers, and the stacks that SIGABRT makes it print end where guest code begins. So before an arbiter aborts a
// worker it calls Examine, which starts this program once more as a helper (Main). The helper stops the threads of the
// worker for a moment (ptrace(2)), reads their registers and stacks, and names the functions by the table that the
// worker has published in a sealed file in memory (Publish).
//
// All of it is best effort. It works on amd64, where wazero's frames are linked, and where the kernel lets us trace: same
// user or CAP_SYS_PTRACE, and Yama's ptrace_scope below 2. Otherwise the result is empty. The helper is bounded in time
// and can be killed; nothing that goes wrong in it, with whatever the worker has published, reaches the arbiter but as
// text of bounded size without control characters.
package postmortem
