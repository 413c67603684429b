// Package config holds every setting of appserver in one table and as one typed struct. The table (settings_*.go) gives a
// setting's name, flag, environment variable, default, section and help; flags, file keys, --help, docs/settings.md and
// the sample file all come from it. The package does no I/O and knows no viper: cmd/appserver loads values
// by the table and hands the struct down. A Config is plain data: it goes to the workers as JSON and is never changed
// once Validate has accepted it.
package config

import "time"

// Config is the settings of one server, as validated. Field comments give units and meaning of zero; the help texts
// for people are in the table.
type Config struct {
	// App is the guest's path: a WebAssembly module or a Go plugin.
	App string `mapstructure:"app"`

	// Bind are the addresses to listen on, in the grammar of package sockets.
	Bind []string `mapstructure:"bind"`
	// Backlog is the length of the kernel's queue of connections not yet accepted.
	Backlog int `mapstructure:"backlog"`
	// ListenMode is "shared" (one socket for all workers) or "slots" (one SO_REUSEPORT socket for each).
	ListenMode string `mapstructure:"listen_mode"`
	// SocketMode is the permission bits of unix sockets.
	SocketMode FileMode `mapstructure:"socket_mode"`

	// Workers is the number of worker processes.
	Workers int `mapstructure:"workers"`
	// MinReady is how many workers must be ready for the server to count as ready; 0 means all.
	MinReady int `mapstructure:"min_ready"`
	// ReloadBatch is how many workers a reload replaces at a time.
	ReloadBatch int `mapstructure:"reload_batch"`
	// WorkerClass is the name of a registered class: "sync" or "threaded".
	WorkerClass string `mapstructure:"worker_class"`
	// Threads is the number of requests a threaded worker runs at once.
	Threads int `mapstructure:"threads"`
	// WorkerConnections bounds the connections a worker holds open.
	WorkerConnections int `mapstructure:"worker_connections"`
	// QueueLimit bounds the requests that wait for a slot in one worker; more get 503.
	QueueLimit int `mapstructure:"queue_limit"`
	// MaxRequests retires a worker after that many requests; 0 never does.
	MaxRequests int `mapstructure:"max_requests"`
	// MaxRequestsJitter adds a random number of up to that many requests to MaxRequests, for each worker.
	MaxRequestsJitter int `mapstructure:"max_requests_jitter"`

	// MaxWorkerMemory is the resident memory in bytes past which a worker is replaced; 0 never does.
	MaxWorkerMemory Size `mapstructure:"max_worker_memory"`
	// MaxAge is how long a worker serves before it is replaced, give or take a tenth; 0 is for ever.
	MaxAge time.Duration `mapstructure:"max_age"`

	// Timeout bounds one request; 0 means no bound.
	Timeout time.Duration `mapstructure:"timeout"`
	// AbortGrace is the time between the steps of the murder ladder.
	AbortGrace time.Duration `mapstructure:"abort_grace"`
	// WorkerTimeout is how long a worker may go without a beat.
	WorkerTimeout time.Duration `mapstructure:"worker_timeout"`
	// BootTimeout bounds a worker's way from start to ready.
	BootTimeout time.Duration `mapstructure:"boot_timeout"`
	// GracefulTimeout bounds a drain.
	GracefulTimeout time.Duration `mapstructure:"graceful_timeout"`
	// Keepalive is how long an idle connection stays open; 0 closes after each response.
	Keepalive time.Duration `mapstructure:"keepalive"`
	// KeepaliveRequests is how many requests a connection may bring; 0 means any number.
	KeepaliveRequests int `mapstructure:"keepalive_requests"`
	// HeaderTimeout bounds the reading of a request's head, from its first byte.
	HeaderTimeout time.Duration `mapstructure:"header_timeout"`
	// StallTimeout is how long a body or a response may make no progress.
	StallTimeout time.Duration `mapstructure:"stall_timeout"`
	// WebSocketTimeout is how long a connection that a guest has taken over may be silent; 0 means no bound.
	WebSocketTimeout time.Duration `mapstructure:"websocket_timeout"`
	// DisconnectGrace is how long a guest may run on when its client has gone; 0 means no bound.
	DisconnectGrace time.Duration `mapstructure:"disconnect_grace"`

	// LimitRequestLine is the length of the longest request line in bytes.
	LimitRequestLine int `mapstructure:"limit_request_line"`
	// LimitRequestFields is the largest number of header fields.
	LimitRequestFields int `mapstructure:"limit_request_fields"`
	// LimitRequestFieldSize is the size of the largest header field in bytes.
	LimitRequestFieldSize int `mapstructure:"limit_request_field_size"`
	// LimitRequestBody is the size of the largest request body in bytes; 0 means no limit.
	LimitRequestBody Size `mapstructure:"limit_request_body"`

	// Certfile is the path of the server's certificate with its chain, in PEM; empty means no TLS.
	Certfile string `mapstructure:"certfile"`
	// Keyfile is the path of its private key; empty means that Certfile holds it as well.
	Keyfile string `mapstructure:"keyfile"`
	// CACerts is the path of the certificates of those who sign clients' certificates.
	CACerts string `mapstructure:"ca_certs"`
	// CertReqs is "none", "optional" or "required": whether clients must have a certificate.
	CertReqs string `mapstructure:"cert_reqs"`
	// TLSMinVersion is "1.2" or "1.3".
	TLSMinVersion string `mapstructure:"tls_min_version"`
	// HTTPProtocols are "h1" and "h2", what is offered over TLS, the preferred first.
	HTTPProtocols []string `mapstructure:"http_protocols"`
	// HTTP2Cleartext is "off" or "prior-knowledge": whether HTTP/2 is spoken without TLS.
	HTTP2Cleartext string `mapstructure:"http2_cleartext"`
	// HTTP2MaxConcurrentStreams bounds the open requests of an HTTP/2 connection.
	HTTP2MaxConcurrentStreams int `mapstructure:"http2_max_concurrent_streams"`

	// ForwardedAllowIPs are the peers whose word about the client is taken: addresses, CIDR blocks or "*".
	ForwardedAllowIPs []string `mapstructure:"forwarded_allow_ips"`
	// SecureSchemeHeaders are fields by which such peers tell that the client speaks https: "Name=value".
	SecureSchemeHeaders []string `mapstructure:"secure_scheme_headers"`
	// RealIPHeader is the field that has the client's address; empty means that the peer's is taken.
	RealIPHeader string `mapstructure:"real_ip_header"`
	// RealHostHeader is the field that has the host the client asked for; empty means that Host is taken.
	RealHostHeader string `mapstructure:"real_host_header"`
	// ProxyProtocol is "off", "v1", "v2" or "auto": the version of the PROXY headers that connections begin with.
	ProxyProtocol string `mapstructure:"proxy_protocol"`
	// ProxyAllowIPs are the peers whose connections begin with PROXY headers: addresses, CIDR blocks or "*".
	ProxyAllowIPs []string `mapstructure:"proxy_allow_ips"`

	// Static are directories whose files are served without the guest: "/prefix=directory".
	Static []string `mapstructure:"static"`
	// RootPath is the path at which clients see the guest, without a slash at its end; empty for the root.
	RootPath string `mapstructure:"root_path"`
	// Upstream is the URL that requests go to which an http-wasm guest passes on; empty answers them with 404.
	Upstream string `mapstructure:"upstream"`

	// Env is set in the environment of the server's own processes: "NAME=value".
	Env []string `mapstructure:"env"`
	// Chdir is the directory to change to before anything else; empty means none.
	Chdir string `mapstructure:"chdir"`
	// Pidfile is where the arbiter writes its process id; empty means nowhere.
	Pidfile string `mapstructure:"pidfile"`
	// User and Group are whom the workers run as: a name or a number; empty means whoever started the arbiter.
	User  string `mapstructure:"user"`
	Group string `mapstructure:"group"`
	// Umask is the file mode creation mask of all processes.
	Umask FileMode `mapstructure:"umask"`
	// Upgrade is "manual" or "auto": whether an arbiter retires by itself once the new one of an upgrade is ready.
	Upgrade string `mapstructure:"upgrade"`
	// ProcName is the name in process titles; empty means the guest's file name.
	ProcName string `mapstructure:"proc_name"`

	// Reload restarts the workers when a watched file changes.
	Reload bool `mapstructure:"reload"`
	// ReloadEngine is "auto", "inotify" or "poll".
	ReloadEngine string `mapstructure:"reload_engine"`
	// ReloadExtraFiles are watched besides the guest and the configuration file: paths, or patterns of package reloader.
	ReloadExtraFiles []string `mapstructure:"reload_extra_files"`

	// LogLevel is "debug", "info", "warn" or "error".
	LogLevel string `mapstructure:"log_level"`
	// LogFormat is "auto", "text", "logfmt" or "json".
	LogFormat string `mapstructure:"log_format"`
	// ErrorLog is the file of the server's log; "-" means stderr.
	ErrorLog string `mapstructure:"error_log"`
	// AccessLog is the file of the access log; "-" means stdout, empty none.
	AccessLog string `mapstructure:"access_log"`
	// AccessLogFormat is gunicorn's atoms, or "json".
	AccessLogFormat string `mapstructure:"access_log_format"`

	// MetricsBind is the address of the metrics listener, in the grammar of package sockets; empty means none.
	MetricsBind string `mapstructure:"metrics_bind"`

	// StatsdHost is "host:port" or "unix://path"; empty means none. StatsdPrefix and DogstatsdTags are put into each line.
	StatsdHost    string `mapstructure:"statsd_host"`
	StatsdPrefix  string `mapstructure:"statsd_prefix"`
	DogstatsdTags string `mapstructure:"dogstatsd_tags"`
	// EnableBacklogMetric has statsd told of the kernel's queue.
	EnableBacklogMetric bool `mapstructure:"enable_backlog_metric"`
	// RequestIDHeader is the name of the field that carries request ids; empty means none.
	RequestIDHeader string `mapstructure:"request_id_header"`

	// OTelEndpoint is the base URL of the collector that gets spans; empty means none.
	OTelEndpoint string `mapstructure:"otel_endpoint"`
	// OTelServiceName is what the server is called there.
	OTelServiceName string `mapstructure:"otel_service_name"`
	// OTelSampleRatio is the part, from 0 to 1, of the traces begun here that are recorded.
	OTelSampleRatio float64 `mapstructure:"otel_sample_ratio"`

	// ControlSocket is the path of the operator's socket; "auto" means one of the server's own, "off" or empty none.
	ControlSocket string `mapstructure:"control_socket"`
	// HookTimeout bounds a run of one of Hooks.
	HookTimeout time.Duration `mapstructure:"hook_timeout"`

	// Guest is the settings of the guest.
	Guest Guest `mapstructure:"guest"`
	// Hooks are commands to run when something happens.
	Hooks Hooks `mapstructure:"hooks"`

	// Middleware are http-wasm guests that each request goes through before the app, in this order.
	Middleware []Middleware `mapstructure:"middleware"`
	// Route are apps for some of the requests; App, or Upstream without it, is the one for the rest.
	Route []Route `mapstructure:"route"`
}

// Hooks are command lines for the shell, by gunicorn's names of the events; empty runs nothing.
type Hooks struct {
	OnStarting      string `mapstructure:"on_starting"`
	WhenReady       string `mapstructure:"when_ready"`
	OnReload        string `mapstructure:"on_reload"`
	NworkersChanged string `mapstructure:"nworkers_changed"`
	PreFork         string `mapstructure:"pre_fork"`
	PostWorkerInit  string `mapstructure:"post_worker_init"`
	WorkerInt       string `mapstructure:"worker_int"`
	WorkerAbort     string `mapstructure:"worker_abort"`
	WorkerExit      string `mapstructure:"worker_exit"`
	ChildExit       string `mapstructure:"child_exit"`
	PreExec         string `mapstructure:"pre_exec"`
	OnExit          string `mapstructure:"on_exit"`
}

// Guest is the settings of a guest.
type Guest struct {
	// Protocol is "auto", "http-wasm", "cgi", "stdio" or "wws".
	Protocol string `mapstructure:"protocol" json:",omitempty"`
	// MemoryLimit is the most linear memory one instance may have, in bytes.
	MemoryLimit Size `mapstructure:"memory_limit" json:",omitempty"`
	// MemoryBudget is the most linear memory all instances of a worker may have together, in bytes.
	MemoryBudget Size `mapstructure:"memory_budget" json:",omitempty"`
	// TableLimit is the most elements a table may have.
	TableLimit int `mapstructure:"table_limit" json:",omitempty"`
	// Interrupt is how a guest past its deadline is stopped: "fuel", "close", or "off", which leaves it to the arbiter.
	Interrupt string `mapstructure:"interrupt" json:",omitempty"`
	// Isolation is what a request may find of those before it in its instance: "reset", "shared" or "fresh".
	Isolation string `mapstructure:"isolation" json:",omitempty"`
	// Warmup are the targets of requests that the guest gets before the image that resets go back to is made.
	Warmup []string `mapstructure:"warmup" json:",omitempty"`
	// MaxRequests replaces an instance after that many requests; 0 never does.
	MaxRequests int `mapstructure:"max_requests" json:",omitempty"`
	// CacheDir is where compiled code is kept; empty means a directory of the user's.
	CacheDir string `mapstructure:"cache_dir" json:",omitempty"`
	// ShareCode has the workers use the same memory for compiled code.
	ShareCode bool `mapstructure:"share_code" json:",omitempty"`
	// Env is the guest's whole environment: "NAME=value".
	Env []string `mapstructure:"env" json:",omitempty"`
	// Args are the guest's arguments after its name.
	Args []string `mapstructure:"args" json:",omitempty"`
	// Dirs are the directories the guest sees: "host:guest" read-only, "host:guest:rw" writable.
	Dirs []string `mapstructure:"dirs" json:",omitempty"`
	// Outbound are the URLs that the guest may call, in the grammar of package allowlist.
	Outbound []string `mapstructure:"outbound" json:",omitempty"`
	// OutboundPrivate lets the names in Outbound lead to private addresses.
	OutboundPrivate bool `mapstructure:"outbound_private" json:",omitempty"`
	// OutboundTimeout bounds a call; 0 leaves that to the request's own time.
	OutboundTimeout time.Duration `mapstructure:"outbound_timeout" json:",omitempty"`
	// OutboundCalls is how many calls a request may make; 0 means any number.
	OutboundCalls int `mapstructure:"outbound_calls" json:",omitempty"`
	// OutboundBody is the largest body of a call, either way, in bytes; 0 means no limit.
	OutboundBody Size `mapstructure:"outbound_body" json:",omitempty"`
	// Config is what an http-wasm guest gets from get_config.
	Config string `mapstructure:"config" json:",omitempty"`
	// PluginConfig is what NewHandler of a Go plugin gets: "name=value".
	PluginConfig []string `mapstructure:"plugin_config" json:",omitempty"`
}
