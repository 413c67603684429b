package config

import "time"

// Bounds of settings that are times. Shorter ones are mistaken units; longer ones would overflow when added up.
const (
	shortest = int64(time.Millisecond)
	longest  = int64(365 * 24 * time.Hour)
)

func timeSettings() []Setting {
	return []Setting{
		{
			Key: "timeout", Short: "t", Section: SectionTimes, Kind: Duration, Min: shortest, Max: longest, Zero: true,
			Reload: Workers, Default: "30s",
			Help: "time a request may take in the guest; 0 for any",
			Doc: "Past it the guest is interrupted and the client gets 504. It counts for each request in every worker class, " +
				"and a worker whose guest cannot be interrupted is killed `abort_grace` later.",
		},
		{
			Key: "abort_grace", Section: SectionTimes, Kind: Duration, Min: shortest, Max: longest, Reload: Live,
			Default: "5s",
			Help:    "time between the steps of killing a stuck worker",
			Doc: "The arbiter sends SIGABRT to a worker whose request is still running this long after `timeout`, and SIGKILL " +
				"after the same time again.",
		},
		{
			Key: "worker_timeout", Section: SectionTimes, Kind: Duration, Min: 100 * shortest, Max: longest, Reload: Live,
			Default: "30s", Help: "time a worker may go without a sign of life",
			Doc: "It finds workers whose process is frozen as a whole. A long request alone never trips it.",
		},
		{
			Key: "boot_timeout", Section: SectionTimes, Kind: Duration, Min: shortest, Max: longest, Reload: Live,
			Default: "60s", Help: "time a worker may take to become ready",
			Doc: "It covers compiling the guest when the cache does not have it yet.",
		},
		{
			Key: "graceful_timeout", Section: SectionTimes, Kind: Duration, Min: shortest, Max: longest, Zero: true,
			Reload: Live, Default: "30s",
			Help: "time a stopping worker has to finish its requests",
			Doc:  "Requests that are not done then are cut off. 0 cuts them off at once.",
		},
		{
			Key: "keepalive", Section: SectionTimes, Kind: Duration, Min: shortest, Max: longest, Zero: true,
			Reload: Workers, Default: "5s",
			Help: "time an idle connection stays open; 0 closes after each response",
			Doc: "The sync class closes after each response whatever this says. Behind a proxy that keeps connections to the server open, make it longer than the proxy does (75s suits " +
				"nginx).",
		},
		{
			Key: "keepalive_requests", Section: SectionTimes, Kind: Int, Min: 0, Max: 1 << 31, Reload: Workers,
			Default: "1000",
			Help:    "requests after which a connection is closed; 0 for any number",
			Doc:     "It spreads long-lived connections over the workers anew from time to time.",
		},
		{
			Key: "header_timeout", Section: SectionTimes, Kind: Duration, Min: shortest, Max: longest, Reload: Workers,
			Default: "10s",
			Help:    "time a client has to send the head of a request",
			Doc:     "It counts from the accepting of a connection or, on one in use, from the head's first byte. It cannot be switched off: slow clients would fill the server.",
		},
		{
			Key: "stall_timeout", Section: SectionTimes, Kind: Duration, Min: shortest, Max: longest, Reload: Workers,
			Default: "30s",
			Help:    "time a client may send or take nothing of a body",
			Doc:     "It starts anew with every bit of progress. While a guest holds a slot, timeout bounds the whole of it.",
		},
		{
			Key: "websocket_timeout", Section: SectionTimes, Kind: Duration, Min: shortest, Max: longest, Zero: true,
			Reload: Workers, Default: "10m",
			Help: "time a WebSocket may be silent in both directions; 0 for any",
			Doc: "It counts for every connection that a guest has taken over to switch protocols, which Go plugins and stdio guests can. Such a connection has no other time limit until its worker stops: " +
				"then `graceful_timeout` is what it has left.",
		},
		{
			Key: "disconnect_grace", Section: SectionTimes, Kind: Duration, Min: shortest, Max: longest, Zero: true,
			Reload: Workers, Default: "1s",
			Help: "time a guest may go on after its client has gone; 0 for any",
			Doc: "Past it the guest is interrupted, and the access log says 499. A client has gone when its connection was closed or reset; " +
				"one that only ends its sending side gets its response. `timeout` bounds the request in any case.",
		},
		{
			Key: "hook_timeout", Section: SectionTimes, Kind: Duration, Min: shortest, Max: longest, Reload: Live,
			Default: "10s",
			Help:    "time a hook's command may take",
			Doc:     "Past it the command and everything it started is killed.",
		},
	}
}

func limitSettings() []Setting {
	return []Setting{
		{
			Key: "limit_request_line", Section: SectionLimits, Kind: Int, Min: 128, Max: 1 << 20, Reload: Workers,
			Default: "8190",
			Help:    "longest request line in bytes",
			Doc:     "Requests with a longer one are refused.",
		},
		{
			Key: "limit_request_fields", Section: SectionLimits, Kind: Int, Min: 1, Max: 32768, Reload: Workers,
			Default: "100",
			Help:    "most header fields of a request",
			Doc:     "Requests with more are refused.",
		},
		{
			Key: "limit_request_field_size", Section: SectionLimits, Kind: Int, Min: 128, Max: 1 << 20, Reload: Workers,
			Default: "8190",
			Help:    "largest header field of a request in bytes",
			Doc:     "Requests with a larger one are refused.",
		},
		{
			Key: "limit_request_body", Section: SectionLimits, Kind: Bytes, Reload: Workers, Default: "10MB",
			Help: "largest request body; 0 for any",
			Doc:  "Larger ones are answered with 413.",
		},
		{
			Key: "upstream", Section: SectionLimits, Kind: String, Reload: Workers,
			Help: "URL of the server for requests that an http-wasm guest passes on",
			Doc: "`http://host:port`, `https://host` or `unix:/path/to/socket`. Without it they are answered with 404. Without `app` it is what is served, " +
				"behind the middleware: see routes.md.",
		},
	}
}
