// Package dev is what `appserver dev` consists of: an edit-build-reload loop around an ordinary server, for the one who
// writes a guest. cmd/appserver gives it the settings; it is no part of a server in production and nothing there can
// turn it on.
//
//	Project   a directory or a file, how its guest is built, what to watch (project.go and project_*.go)
//	build     a run of the build command in a process group of its own (build.go)
//	Server    `appserver serve` as a child process, known by its command line, log and control socket alone (server.go)
//	Journal   what the server's log says of single requests (journal.go)
//	Hub       whether the guest is being built, served or broken, and since when (hub.go)
//	Session   the loop: change, build, reload (session.go)
//	Front     the proxy that browsers talk to: it passes requests on while the guest serves, and answers with a Report
//	          when it does not (front.go, page.go)
//
// The server is a whole one, arbiter and worker, so that what is developed against is what will run. All that is special
// stays in front of it: whatever becomes of workers or of the server itself, the Front answers, and its pages find out
// over an event stream (reload.js) when there is something new to show.
package dev
