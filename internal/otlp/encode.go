package otlp

import (
	"encoding/hex"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/appserver-go/appserver/internal/accesslog"
)

// The encoding is proto3's JSON mapping with two exceptions of OTLP's: ids are hexadecimal, and enumerations are numbers.
// Integers of 64 bits are strings.

const (
	kindServer  = 2 // SPAN_KIND_SERVER
	statusError = 2 // STATUS_CODE_ERROR

	// Flags of a span: the trace flag that says that it is recorded, and whether its parent is another process's.
	flagSampled      = 1
	flagHasIsRemote  = 1 << 8
	flagIsRemote     = 1 << 9
	maxCause         = 256  // bytes of a Cause
	maxText          = 4096 // bytes of any other text that a client has chosen
	conventions      = "https://opentelemetry.io/schemas/1.37.0"
	instrumentation  = "github.com/appserver-go/appserver"
	unknownMethod    = "_OTHER"
	redacted         = "REDACTED"
	attributesPrefix = `,"attributes":[`
)

// attributes appends attributes to an object whose list of them has been opened.
type attributes struct {
	b     []byte
	comma bool
}

func (a *attributes) key(key string) {
	if a.comma {
		a.b = append(a.b, ',')
	}
	a.comma = true
	a.b = append(a.b, `{"key":"`...)
	a.b = append(a.b, key...)
	a.b = append(a.b, `","value":{"`...)
}

// text appends an attribute, unless it is empty.
func (a *attributes) text(key, value string) {
	if value == "" {
		return
	}
	a.key(key)
	a.b = append(a.b, `stringValue":`...)
	a.b = append(accesslog.AppendString(a.b, clip(value, maxText)), "}}"...)
}

func (a *attributes) number(key string, n int64) {
	a.key(key)
	a.b = append(a.b, `intValue":"`...)
	a.b = append(strconv.AppendInt(a.b, n, 10), `"}}`...)
}

// clip bounds a text. Half a character at its end becomes U+FFFD like everything else that is no UTF-8.
func clip(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// appendSpan appends the JSON of a span.
func appendSpan(b []byte, s *Span) []byte {
	b = appendID(b, `{"traceId":"`, s.Trace[:])
	b = appendID(b, `,"spanId":"`, s.ID[:])
	flags := int64(flagSampled | flagHasIsRemote)
	if s.Parent != [8]byte{} {
		b = appendID(b, `,"parentSpanId":"`, s.Parent[:])
		flags |= flagIsRemote
	}
	if s.State != "" {
		b = accesslog.AppendString(append(b, `,"traceState":`...), s.State)
	}
	b = strconv.AppendInt(append(b, `,"flags":`...), flags, 10)
	method := knownMethod(s.Method)
	name := method
	if method == unknownMethod {
		name = "HTTP"
	}
	b = append(append(b, `,"name":"`...), name...)
	b = strconv.AppendInt(append(b, `","kind":`...), kindServer, 10)
	b = appendTime(b, `,"startTimeUnixNano":"`, s.Start)
	b = appendTime(b, `,"endTimeUnixNano":"`, s.Start.Add(max(s.Duration, 0)))
	a := attributes{b: append(b, attributesPrefix...)}
	a.request(s, method)
	a.response(s)
	return append(appendStatus(append(a.b, ']'), s), '}')
}

func appendID(b []byte, key string, id []byte) []byte {
	return append(hex.AppendEncode(append(b, key...), id), '"')
}

func appendTime(b []byte, key string, t time.Time) []byte {
	return append(strconv.AppendInt(append(b, key...), t.UnixNano(), 10), '"')
}

// appendStatus appends the status: an error for what is the server's or the guest's fault, and else none, as the
// conventions have it for servers.
func appendStatus(b []byte, s *Span) []byte {
	if errorType(s) == "" {
		return b
	}
	b = strconv.AppendInt(append(b, `,"status":{"code":`...), statusError, 10)
	if s.Cause != "" {
		b = accesslog.AppendString(append(b, `,"message":`...), clip(s.Cause, maxCause))
	}
	return append(b, '}')
}

// errorType returns the value of error.type: why the request failed, or the status if all there is to know is that it is one of
// a server's error.
func errorType(s *Span) string {
	if s.Failure == "" && s.Status >= 500 {
		return strconv.Itoa(s.Status)
	}
	return s.Failure
}

func (a *attributes) request(s *Span, method string) {
	a.text("http.request.method", method)
	if method == unknownMethod {
		a.text("http.request.method_original", s.Method)
	}
	path, query, _ := strings.Cut(s.Target, "?")
	a.text("url.scheme", s.Scheme)
	a.text("url.path", path)
	a.text("url.query", redact(query))
	host, port := s.Host, ""
	if h, p, err := net.SplitHostPort(s.Host); err == nil {
		host, port = h, p
	}
	a.text("server.address", strings.Trim(host, "[]"))
	if n, err := strconv.ParseUint(port, 10, 16); err == nil {
		a.number("server.port", int64(n))
	}
	if ap, err := netip.ParseAddrPort(s.Client); err == nil {
		a.text("client.address", ap.Addr().String())
		if ap.Port() != 0 { // a proxy has told the address alone
			a.number("client.port", int64(ap.Port()))
		}
	}
	version := strings.TrimPrefix(s.Proto, "HTTP/")
	if version == "2.0" {
		version = "2"
	}
	a.text("network.protocol.version", version)
	a.text("user_agent.original", s.UserAgent)
	a.text("appserver.request_id", s.RequestID)
}

func (a *attributes) response(s *Span) {
	a.number("http.response.status_code", int64(s.Status))
	if s.BodyIn > 0 {
		a.number("http.request.body.size", s.BodyIn)
	}
	if s.BodyOut > 0 {
		a.number("http.response.body.size", s.BodyOut)
	}
	a.text("error.type", errorType(s))
}

// knownMethod returns a method that the conventions know, or what they have instead: anything else would be a name that a
// client has chosen.
func knownMethod(m string) string {
	switch m {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY":
		return m
	}
	return unknownMethod
}

// redact takes the values of those parameters out of a query that the conventions name: they are signatures, which open
// what they sign.
func redact(query string) string {
	if !strings.Contains(query, "ig") && !strings.Contains(query, "AWSAccessKeyId") {
		return query
	}
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		switch name, _, ok := strings.Cut(pair, "="); {
		case !ok:
		case name == "AWSAccessKeyId", name == "Signature", name == "sig", name == "X-Goog-Signature":
			pairs[i] = name + "=" + redacted
		}
	}
	return strings.Join(pairs, "&")
}

// head returns what is sent before the spans, and tail what follows them: who they are from. instance tells this process from
// others of the service.
func head(service, version, instance string, pid int) []byte {
	a := attributes{b: []byte(`{"resourceSpans":[{"resource":{"attributes":[`)}
	a.text("service.name", service)
	a.text("service.instance.id", instance)
	a.number("process.pid", int64(pid))
	a.text("telemetry.sdk.language", "go")
	a.text("telemetry.sdk.name", "appserver")
	a.text("telemetry.sdk.version", version)
	b := append(a.b, `]},"scopeSpans":[{"scope":{"name":"`+instrumentation+`","version":`...)
	return append(accesslog.AppendString(b, version), `},"spans":[`...)
}

const tail = `],"schemaUrl":"` + conventions + `"}],"schemaUrl":"` + conventions + `"}]}`
