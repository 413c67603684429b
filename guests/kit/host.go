package kit

// host is the http-wasm handler ABI with Go types. Its functions do not fail: a host that cannot do what a guest asks
// for traps, which ends the guest. It is an interface so that tests can stand in for the server.
type host interface {
	enableFeatures(features uint32) uint32
	config() []byte
	logEnabled(level int32) bool
	log(level int32, message []byte)

	headerNames(kind uint32) []string
	headerValues(kind uint32, name string) []string
	setHeader(kind uint32, name, value string)
	addHeader(kind uint32, name, value string)
	removeHeader(kind uint32, name string)

	// readBody reads into p, which is not empty. It may return less than len(p) before the end.
	readBody(kind uint32, p []byte) (n int, eof bool)
	// writeBody appends p to the body. The first call replaces the body there was, even with an empty p.
	writeBody(kind uint32, p []byte)

	method() string
	setMethod(method string)
	uri() string
	setURI(uri string)
	protocol() string
	sourceAddr() string
	status() int
	setStatus(status int)
}

// Kinds of headers. Those of bodies are the first two.
const (
	ofRequest         = 0
	ofResponse        = 1
	ofRequestTrailer  = 2
	ofResponseTrailer = 3
)

// Features, as bits.
const (
	bufferResponse = 2
	trailers       = 4
)

// Levels of log messages.
const (
	levelDebug = -1
	levelInfo  = 0
	levelWarn  = 1
	levelError = 2
)
