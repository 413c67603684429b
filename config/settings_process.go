package config

func processSettings() []Setting {
	return []Setting{
		{
			Key: "env", Short: "e", Section: SectionProcess, Kind: Repeated, Reload: Restart, Gunicorn: "raw_env",
			Help: "NAME=value for the environment of the server's processes",
			Doc:  "Guests do not see it; theirs is `guest.env`.",
		},
		{
			Key: "chdir", Section: SectionProcess, Kind: String, Reload: Restart,
			Help: "directory to change to at the start",
			Doc:  "Relative paths of all other settings are taken from there. The configuration file itself is found before.",
		},
		{
			Key: "pidfile", Short: "p", Section: SectionProcess, Kind: String, Reload: Restart,
			Help: "file for the process id of the arbiter",
			Doc:  "A second server on the same file refuses to start. The new server of an upgrade has `.2` at the end until the old one is gone.",
		},
		{
			Key: "user", Short: "u", Section: SectionProcess, Kind: String, Reload: Restart,
			Help: "user the workers run as: a name or a number",
			Doc:  "It needs a server started by root. The arbiter keeps its own user.",
		},
		{
			Key: "group", Short: "g", Section: SectionProcess, Kind: String, Reload: Restart,
			Help: "group the workers run as: a name or a number",
			Doc:  "Without it the workers have the groups of `user`.",
		},
		{
			Key: "umask", Short: "m", Section: SectionProcess, Kind: Mode, Reload: Restart, Default: "0022",
			Help: "file mode creation mask of all processes, in octal",
			Doc:  "In files write the digits in quotes.",
		},
		{
			Key: "proc_name", Short: "n", Section: SectionProcess, Kind: String, Reload: Restart,
			Help: "name in process titles; the guest's file name without it",
		},
		{
			Key: "upgrade", Section: SectionProcess, Kind: Enum, Values: []string{"manual", "auto"}, Reload: Live, Default: "manual",
			Help: "how the old server of an upgrade by SIGUSR2 ends: manual or auto",
			Doc: "`manual` keeps it beside the new one until it gets TERM, as in gunicorn. `auto` has it finish its requests and exit " +
				"once the new one is ready. `appserver upgrade` does the latter unless told otherwise. See signals.md.",
		},
		{
			Key: "control_socket", Section: SectionProcess, Kind: String, Reload: Restart, Default: "auto",
			Help: "path of the operator's socket; auto chooses one, off has none",
			Doc: "`appserver status`, `reload`, `top` and the others talk to the server over it; see control.md. `auto` is " +
				"`$XDG_RUNTIME_DIR/appserver/PID.sock`, for root `/run/appserver/PID.sock`, else `appserver-UID/PID.sock` in the " +
				"directory for temporary files; where none of them can be made, the server runs without. Only root and the user " +
				"of the arbiter may use the socket. The new server of an upgrade adds `.2` to a path until the old one is gone. The environment variable also tells those commands which server is meant.",
		},
	}
}

func reloadSettings() []Setting {
	return []Setting{
		{
			Key: "reload", Section: SectionReload, Kind: Bool, Reload: Restart, Default: "false",
			Help: "reload when the guest or the configuration file changes",
			Doc: "For development. What counts is the content, once it has stood still for 100 ms; files beside those that are " +
				"watched do not matter. A change has the effect of SIGHUP.",
		},
		{
			Key: "reload_engine", Section: SectionReload, Kind: Enum, Values: []string{"auto", "inotify", "poll"},
			Reload: Restart, Default: "auto",
			Help: "how changes are noticed: auto, inotify or poll",
			Doc: "`poll` looks at the files every second. `auto` is `inotify`, and `poll` too on file systems that other machines " +
				"may write to. Where inotify fails, files are polled, and the log says so.",
		},
		{
			Key: "reload_extra_files", Section: SectionReload, Kind: List, Reload: Restart,
			Help: "more files to watch: paths and patterns",
			Doc: "Patterns have `*`, `?` and `[…]`, and `**` for any number of directories: `templates/**/*.html`. Wildcards do not " +
				"match names that begin with a dot.",
		},
	}
}

func logSettings() []Setting {
	return []Setting{
		{
			Key: "log_level", Section: SectionLogs, Kind: Enum, Values: []string{"debug", "info", "warn", "error"},
			Reload: Workers, Default: "info", Gunicorn: "loglevel",
			Help: "least severe messages to log: debug, info, warn or error",
		},
		{
			Key: "log_format", Section: SectionLogs, Kind: Enum, Values: []string{"auto", "text", "logfmt", "json"},
			Reload: Restart, Default: "auto",
			Help: "format of the log: auto, text, logfmt or json",
			Doc:  "`auto` is `text`, with colours, on a terminal, and `logfmt` otherwise.",
		},
		{
			Key: "error_log", Section: SectionLogs, Kind: String, Reload: Restart, Default: "-", Gunicorn: "errorlog",
			Help: "file of the server's log; - for stderr",
			Doc:  "SIGUSR1 opens it anew after it was renamed.",
		},
		{
			Key: "access_log", Section: SectionLogs, Kind: String, Reload: Workers, Gunicorn: "accesslog",
			Help: "file of the access log; - for stdout, empty for none",
			Doc:  "SIGUSR1 opens it anew after it was renamed.",
		},
		{
			Key: "access_log_format", Section: SectionLogs, Kind: String, Reload: Workers,
			Default: `%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"`,
			Help:    "line of the access log: gunicorn's atoms, or json",
			Doc: "The atoms are `h` peer, `l` \"-\", `u` user, `t` time, `r` request line, `m` method, `U` path, `q` query, `H` " +
				"protocol, `s` status, `B` bytes sent, `b` the same with \"-\" for none, `f` referer, `a` user agent, `T` seconds, " +
				"`M` milliseconds, `D` microseconds, `L` seconds with fraction, `p` process id, `{name}i` request field, " +
				"`{name}o` response field, `{name}e` CGI variable such as `REMOTE_PORT`, written as `%(h)s`. What is missing is \"-\". " +
				"Control characters, quotes and backslashes in values are escaped. `json` writes one object on each line.",
		},
	}
}

func guestSettings() []Setting {
	return []Setting{
		{
			Key: "guest.protocol", Section: SectionGuest, Kind: Enum, Values: []string{"auto", "http-wasm", "cgi", "stdio", "wws"},
			Reload: Workers, Default: "auto",
			Help: "how the guest speaks HTTP: auto, http-wasm, cgi, stdio or wws",
			Doc: "`auto` looks at what the module imports and exports. `stdio` is for programs that speak HTTP/1.1 over their " +
				"standard input and output, `wws` for those of wasm-workers-server, which read and print JSON: nothing in the module tells them from CGI programs.",
		},
		{
			Key: "guest.memory_limit", Section: SectionGuest, Kind: Bytes, Min: 64 << 10, Max: 4 << 30, Reload: Workers,
			Default: "128MiB",
			Help:    "most linear memory of one instance",
			Doc:     "Past it, growing the memory fails inside the guest.",
		},
		{
			Key: "guest.memory_budget", Section: SectionGuest, Kind: Bytes, Reload: Workers, Default: "512MiB",
			Help: "most linear memory of all instances of a worker; 0 for any",
		},
		{
			Key: "guest.table_limit", Section: SectionGuest, Kind: Int, Min: 1, Max: 1 << 27, Reload: Workers,
			Default: "1000000",
			Help:    "most elements of a table",
			Doc:     "Modules that ask for more are refused when they are loaded.",
		},
		{
			Key: "guest.interrupt", Section: SectionGuest, Kind: Enum, Values: []string{"fuel", "close", "off"}, Reload: Workers,
			Default: "fuel",
			Help:    "how a guest past its timeout is stopped: fuel, close or off",
			Doc: "`fuel` has the guest count its steps and look at the clock every ten thousand of them, which costs a few " +
				"per cent and lets other requests run in between. `close` looks in every loop, which makes loops several times " +
				"slower, misses recursion, and loses the instance. `off` leaves a guest that never returns to the arbiter, which " +
				"kills the worker; until then it may freeze the other requests of its worker.",
		},
		{
			Key: "guest.isolation", Section: SectionGuest, Kind: Enum, Values: []string{"reset", "shared", "fresh"}, Reload: Workers,
			Default: "reset",
			Help:    "what a request finds of earlier ones in the guest: reset, shared or fresh",
			Doc: "`reset` puts the guest's memory back to what it was after its start, to the byte, after every request; the guest " +
				"may export `appserver_reseed` to renew its seeds of random numbers. `shared` leaves it as it is, for guests that " +
				"keep caches or counters in memory. `fresh` starts the guest anew for each request. A CGI guest is run anew for each " +
				"request in any case, with `reset` from an image of its memory; stdio guests cannot be reset. A " +
				"guest that cannot be reset is served fresh, with a warning in the log.",
		},
		{
			Key: "guest.warmup", Section: SectionGuest, Kind: List, Reload: Workers,
			Help: "requests the guest gets before it serves: targets such as /",
			Doc: "With `guest.isolation = \"reset\"` every request begins with the guest as it was after its start. What a guest does at " +
				"its first requests only, such as filling caches, it would do each time; after requests for these targets it is in the " +
				"image. They are GET requests with the host `localhost`, their responses are thrown away, and a guest that fails at one is " +
				"not served.",
		},
		{
			Key: "guest.max_requests", Section: SectionGuest, Kind: Int, Min: 0, Max: 1 << 31, Reload: Workers, Default: "0",
			Help: "requests after which an instance of the guest is replaced; 0 for never",
			Doc: "It is for guests with `guest.isolation = \"shared\"` whose memory grows with time: a new instance takes milliseconds, a new worker " +
				"(`max_requests`) more than a hundred.",
		},
		{
			Key: "guest.cache_dir", Section: SectionGuest, Kind: String, Reload: Workers,
			Help: "directory of compiled code; one of the user's without it",
		},
		{
			Key: "guest.share_code", Section: SectionGuest, Kind: Bool, Reload: Workers, Default: "false",
			Help: "whether workers use the same memory for compiled code",
			Doc: "With a large guest a worker needs half as much memory of its own. It rests on how the engine keeps code. Each worker compares " +
				"the shared code with its own first, and keeps its own, with a warning, if they differ or the system does not allow it.",
		},
	}
}

// guestWorld are the settings of what a guest gets to see.
func guestWorld() []Setting {
	return []Setting{
		{
			Key: "guest.env", Section: SectionGuest, Kind: Repeated, Reload: Workers,
			Help: "NAME=value for the guest's environment",
			Doc:  "The guest sees these and nothing of the server's environment.",
		},
		{
			Key: "guest.args", Section: SectionGuest, Kind: Repeated, Reload: Workers,
			Help: "argument of the guest",
			Doc:  "They follow the guest's own name. On the command line they can be written behind `--`, too.",
		},
		{
			Key: "guest.dirs", Section: SectionGuest, Kind: Repeated, Reload: Workers,
			Help: "directory the guest sees: host:guest, or host:guest:rw to write",
			Doc: "The guest sees the host's directory at the absolute path `guest`, and no others. It cannot leave the " +
				"directory, through symbolic links either.",
		},
		{
			Key: "guest.config", Section: SectionGuest, Kind: String, Reload: Workers,
			Help: "text an http-wasm guest gets as its configuration",
		},
		{
			Key: "guest.plugin_config", Section: SectionGuest, Kind: Repeated, Reload: Workers,
			Help: "name=value for the configuration of a Go plugin",
			Doc:  "All of them are the map that the plugin's `NewHandler` is called with.",
		},
	}
}
