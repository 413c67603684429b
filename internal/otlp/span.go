package otlp

import "time"

// Span is a request that was answered. Its strings are lent: they are valid during Exporter.Add only.
type Span struct {
	// Trace and ID name the span. Parent is the span that the client has sent, zero in a trace that begins here.
	Trace      [16]byte
	ID, Parent [8]byte
	// State is the tracestate field of a trace that came in.
	State string
	// Start is when the head of the request was there, and Duration the time from then to the end of the response.
	Start    time.Time
	Duration time.Duration

	// Method, Scheme, Host and Proto ("HTTP/1.1") are those of exchange.Request; Target is the target as it came in.
	Method, Scheme, Host, Proto, Target string
	// Client is the client's address as "ip:port", "" for none. UserAgent is the field of that name.
	Client, UserAgent string
	// RequestID is what logs call the request.
	RequestID string
	// Status is the status of the response. BodyIn and BodyOut are the bytes of the bodies that were read and sent.
	Status          int
	BodyIn, BodyOut int64
	// Failure is why the request failed, in a word, and Cause in more of them. Both are "" if it is not the server's or the
	// guest's failure.
	Failure, Cause string
}
