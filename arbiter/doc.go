// Package arbiter supervises worker processes: it spawns them, watches their scoreboards, kills what is stuck, replaces
// what died, scales, and ends them all in good order. It owns the pidfile and, while it runs, the listening sockets. It
// runs no guest, parses no request and knows no setting but the few in Options. Command appserver calls it.
//
// # One goroutine
//
// Run is the only goroutine that touches an Arbiter's state. Others send it events: one goroutine per worker reads its
// control socket, one its standard error, and os/signal delivers signals. Process creation, signals and wait statuses
// come through the interface env, so that tests run whole lives of an arbiter on a virtual clock without processes.
//
// # Workers
//
//	spawned --hello--> booted --ready--> ready --drain--> draining --exit--> exited
//	   any of them --SIGABRT--> aborted --SIGKILL--> killed --exit--> exited
//
// A worker lives in a slot, and its replacement takes the slot over. A worker that dies unasked is replaced at once the
// first time; when its successors fail too, the slot waits 0.1 s, 0.2 s, … 5 s, and starts over after 10 s of health.
// A worker that asks to retire serves until its replacement is ready.
//
// The arbiter times everything by its own clock. A request that is still in its slot abort_grace after timeout, a beat
// that stood still for worker_timeout, and a worker not ready after boot_timeout are answered with SIGABRT, and with
// SIGKILL one abort_grace later. Only time during which the arbiter itself ran counts.
//
// A worker that asks for it (max_requests), is too old or too large is recycled: it serves until its replacement is ready.
// A quarter of the workers are at a time, with pauses, so that recycling never costs more than a fifth of a processor
// for each.
//
// # Generations
//
// A reload makes a new generation: configuration, guest and sockets, as Options.Load finds them. One worker of it, the
// canary, boots beside the others. If the generation cannot be loaded, or the canary fails, dies or exceeds boot_timeout,
// nothing has changed but a record in the log. Otherwise the new generation is the present one for good, and the
// workers are replaced, reload_batch at a time, each old one drained when its replacement is ready. The loop never waits
// meanwhile. Workers that fail from then on are tried again with the usual back-off, beside the old ones.
//
// Sockets that both generations have are never closed. Those that go let no new connections in from the moment of the
// change, are emptied by the old workers, and are closed after the last of these has stopped to accept.
//
// One reload can wait for another. Where workers of a reload keep failing, the one that waits takes over.
//
// As long as no worker has been ready, a worker that reports a failure, that exceeds boot_timeout, or five that died
// in a row end the server with exit code 3 (a worker failed to boot) or 4 (the guest failed to load), as in gunicorn.
// Later the arbiter never gives up.
//
// # Upgrade
//
// USR2 executes the program anew, from where it was found at the start, as another arbiter in a process of its own. It
// inherits the sockets, reads its own configuration and boots its own workers beside those of the old one. If it exits, or
// takes longer than boot_timeout for either step, nothing has changed but a record in the log. There are never more than two.
//
// Once it is ready the old arbiter retires when it is told to, or by itself with Settings.AutoUpgrade: its workers drain and
// it ends, without closing or unlinking what it shares. If the new one dies before that, the old one brings its workers back.
// The new one takes pidfile and files over when the old one is gone, which it sees by the end of their connection.
//
// # Signals
//
//	TERM        finish requests within graceful_timeout, then exit; again: as INT
//	INT, QUIT   exit within two seconds
//	TTIN, TTOU  one worker more, one less (never less than one)
//	USR1        reopen the log files, here, in the workers and in a new arbiter
//	WINCH       drain all workers and stay, keeping the sockets; TTIN brings workers back, and so does the death of a new
//	            arbiter in whose favour they were drained. Ignored when standard input or
//	            standard error is a terminal, which sends it whenever its window is resized
//	CHLD        a worker, or as process 1 anybody's orphan, has died
//	HUP         reload; also brings back the workers that WINCH has drained
//	USR2        upgrade: see above
//
// Signals are handled one by one in the order of their arrival: three TTIN add three workers, provided that they are not
// sent so fast that the kernel merges them.
package arbiter
