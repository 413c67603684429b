package config

import "time"

func serverSettings() []Setting {
	return []Setting{
		{
			Key: "app", Section: SectionServer, Kind: String, Argument: true, Reload: Workers, Gunicorn: "wsgi_app",
			Help: "the guest to serve: a WebAssembly module or a Go plugin",
			Doc: "On the command line it is the argument of `serve` and `check`, which wins over the variable and the file. " +
				"A relative path is taken from the directory the server runs in, after `chdir`.",
		},
		{
			Key: "bind", Short: "b", Section: SectionServer, Kind: List, Reload: Workers,
			Default: "127.0.0.1:8000", Fallback: "PORT",
			Help: "addresses to listen on: host:port, unix:path or fd://number",
			Doc: "Several addresses are separated by commas, or the flag is repeated. When the environment variable `PORT` is " +
				"set, the default is `0.0.0.0:$PORT`, as hosting platforms expect. A reload opens new addresses before it leaves " +
				"old ones; an address that stays keeps its socket. A server that got its sockets from a service manager keeps them.",
		},
		{
			Key: "backlog", Section: SectionServer, Kind: Int, Min: 1, Max: 65535, Reload: Restart, Default: "2048",
			Help: "connections the kernel queues before they are accepted",
			Doc:  "The kernel cuts it to `net.core.somaxconn`. More connections than that are refused or time out.",
		},
		{
			Key: "listen_mode", Section: SectionServer, Kind: Enum, Values: []string{"shared", "slots"},
			Reload: Restart, Default: "shared",
			Help: "one socket for all workers (shared) or one for each (slots)",
			Doc: "`shared` gives a connection to whichever worker is free. `slots` gives each worker a socket of its own with " +
				"SO_REUSEPORT: keep-alive connections spread evenly, but a connection may wait for a busy worker while another " +
				"is idle.",
		},
		{
			Key: "socket_mode", Section: SectionServer, Kind: Mode, Reload: Restart, Default: "0660",
			Help: "permission bits of unix sockets, in octal",
			Doc: "The socket gets exactly these bits, whatever the umask. In files write the digits in quotes, since TOML and " +
				"YAML do not tell `660` from `0660` in the same way.",
		},
		{
			Key: "static", Section: SectionServer, Kind: Repeated, Reload: Workers,
			Help: "directory whose files are served without the guest: /prefix=dir",
			Doc: "Paths below the prefix, and no others, lead to files of the directory; what is not there is answered with 404. See " +
				"static.md. A relative directory is taken from the one the server runs in, after `chdir`.",
		},
		{
			Key: "root_path", Section: SectionServer, Kind: String, Reload: Workers,
			Help: "path at which clients see the guest, such as /app",
			Doc: "CGI guests get it as `SCRIPT_NAME`, others in the field `X-Forwarded-Prefix`. It is taken off the paths that begin with it; " +
				"others, of a proxy that has done so already, stay as they are. Prefixes of `static` are of what is left. Logs have paths as they came in.",
		},
	}
}

func workerSettings() []Setting {
	return []Setting{
		{
			Key: "workers", Short: "w", Section: SectionWorkers, Kind: Int, Min: 1, Max: 4096, Reload: Live,
			Default: "2", Fallback: "WEB_CONCURRENCY",
			Help: "number of worker processes",
			Doc: "The environment variable `WEB_CONCURRENCY` replaces the default. Two is the fewest that keep the port " +
				"answering while a worker is replaced; one for each processor is a good start.",
		},
		{
			Key: "min_ready", Section: SectionWorkers, Kind: Int, Min: 0, Max: 4096, Reload: Restart, Default: "0",
			Help: "workers that must be ready before the server says it is; 0 for all",
			Doc:  "That is when it logs `Ready` and tells systemd. Connections are accepted from the first ready worker on.",
		},
		{
			Key: "reload_batch", Section: SectionWorkers, Kind: Int, Min: 1, Max: 4096, Reload: Live, Default: "1",
			Help: "workers a reload replaces at a time",
			Doc:  "Each is replaced when its successor is ready, so so many more processes run for a moment.",
		},
		{
			Key: "worker_class", Short: "k", Section: SectionWorkers, Kind: String, Reload: Workers, Default: "sync",
			Help: "how a worker runs requests: sync or threaded",
			Doc: "`sync` runs one request at a time in each worker, `threaded` runs `threads` of them at once. When the class " +
				"is not given and `threads` is more than 1, it is `threaded`.",
		},
		{
			Key: "threads", Section: SectionWorkers, Kind: Int, Min: 1, Max: 4096, Reload: Workers, Default: "1",
			Help: "requests a threaded worker runs at once",
			Doc:  "Each has an instance of the guest of its own, so memory grows with it.",
		},
		{
			Key: "worker_connections", Section: SectionWorkers, Kind: Int, Min: 1, Max: 1_000_000, Reload: Workers,
			Default: "1000",
			Help:    "connections a worker holds open, idle ones included",
			Doc:     "At the limit the worker accepts no more; the connections wait in the kernel for it or another worker.",
		},
		{
			Key: "queue_limit", Section: SectionWorkers, Kind: Int, Min: 0, Max: 1_000_000, Reload: Workers, Default: "64",
			Help: "requests that may wait for a free thread of a worker",
			Doc:  "More are answered with 503 at once. Class `sync` has no queue.",
		},
		{
			Key: "max_requests", Section: SectionWorkers, Kind: Int, Min: 0, Max: 1 << 31, Reload: Workers, Default: "0",
			Help: "requests after which a worker is replaced; 0 for never",
			Doc:  "It contains the harm of a guest or host that leaks. The replacement is ready before the worker goes.",
		},
		{
			Key: "max_requests_jitter", Section: SectionWorkers, Kind: Int, Min: 0, Max: 1 << 31, Reload: Workers,
			Default: "0",
			Help:    "random number of requests added to max_requests",
			Doc:     "Each worker draws its own, so that they are not all replaced at the same time.",
		},
		{
			Key: "max_worker_memory", Section: SectionWorkers, Kind: Bytes, Reload: Workers, Default: "0",
			Help: "memory past which a worker is replaced; 0 for any",
			Doc: "It is the resident memory of the process (RSS), looked at every second. The replacement is ready before the " +
				"worker goes. Set it well above what a fresh worker needs.",
		},
		{
			Key: "max_age", Section: SectionWorkers, Kind: Duration, Min: int64(time.Second), Max: longest, Zero: true,
			Reload: Workers, Default: "0",
			Help: "time after which a worker is replaced; 0 for never",
			Doc:  "Each worker adds or takes off up to a tenth at random. The replacement is ready before the worker goes.",
		},
	}
}
