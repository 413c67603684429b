// Package control is the operator's side door: a unix socket with an HTTP+JSON API over which a person or a tool asks a
// running server how it is and tells it what to do, and the client of that API. Command appserver opens the socket
// beside the arbiter (Listen, Serve), gives it a Backend, and uses Client for `appserver status`, `reload`, `top` and so
// on.
//
// The package decides nothing about workers: every request becomes a call of the Backend. It runs in the arbiter's
// process but never in its goroutine, and what a client does or fails to do costs the arbiter nothing: bodies,
// connections, streams and times are bounded.
//
// # Who may
//
// The socket's file has mode 0600 from the moment it exists, its directory 0700 if it was made here, and each
// connection is asked for its peer's user (SO_PEERCRED, unix(7)): only root and the user of the arbiter get through.
//
// # API
//
//	GET  /v1/status                 Status
//	GET  /v1/workers                []Worker
//	GET  /v1/requests               []Request: what is in the guests now, oldest first
//	GET  /v1/config                 []Setting: the settings in force, and where each comes from
//	GET  /v1/events                 a stream of Event, one JSON object a line, until either side closes
//	POST /v1/reload                 answers when the new generation serves, or with the reason why it does not
//	POST /v1/scale                  Scale -> Scaled
//	POST /v1/reopen                 reopen the log files
//	POST /v1/drain                  drain all workers and keep the sockets
//	POST /v1/stop                   Stop: begin to shut down
//	POST /v1/workers/{pid}/kill     kill one worker; it is replaced
//
// Success is 200 with a JSON value, {} where there is nothing to say. Failure is an Error with 400 (the request is
// wrong), 403 (somebody else's user), 404 (no such path or worker), 405, 409 (not now: errors.Is ErrConflict), 413, 503
// (too many connections) or 500.
package control
