package workers

import (
	"os"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/accesslog"
)

// AccessFunc writes one line of the access log. Records are lent: their strings are valid during the call only.
type AccessFunc func(*accesslog.Record)

// access writes the access-log line of an answered request.
func (s *Service) access(r *exchange.Request, resp *exchange.Response, status int, start time.Time, took time.Duration) {
	if s.o.Access == nil {
		return
	}
	s.o.Access(&accesslog.Record{
		RemoteAddr: r.RemoteAddr,
		Method:     r.Method, Target: r.RawTarget(), Proto: r.Proto, Host: r.Host,
		Request: r.Fields, Response: resp.Fields,
		Status: status, Bytes: resp.Sent(),
		Start: start, Duration: took,
		ID: r.ID, PID: os.Getpid(),
	})
}
