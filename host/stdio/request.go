package stdio

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/appserver-go/appserver/exchange"
)

// sender writes a request to the guest's stdin, while the response is read.
type sender struct {
	req *exchange.Request
	in  *pipe
	w   *bufio.Writer // of in

	mu      sync.Mutex // held while the client's body is read
	stopped bool
	done    chan struct{}
	err     error // why the body of the client could not be read, after done
	whole   bool  // the guest was given all of it, after done
}

// send starts to write the request of x. Before the exchange ends the caller calls finish and, once the pipe is cut if
// that says so, waits for done.
func send(x *exchange.Exchange, in *pipe) *sender {
	s := &sender{req: &x.Request, in: in, w: bufio.NewWriterSize(in, readBuffer), done: make(chan struct{})}
	s.head()
	if s.req.ContentLength == 0 {
		s.whole = s.w.Flush() == nil
		close(s.done)
		return s
	}
	go func() {
		defer close(s.done)
		if s.w.Flush() != nil || s.req.Fields.Get("Expect") != "" && !in.wanted() {
			return // a client that asks before it sends is not told to go on before the guest reads
		}
		if s.req.ContentLength > 0 {
			s.whole = s.copyBody(s.w) && s.w.Flush() == nil
		} else {
			s.whole = s.copyBody(chunks{s.w}) && s.trailers() == nil
		}
	}()
	return s
}

// finish ends the writing, and reports whether the guest was given the whole request. A guest that has answered may
// take its time, but not much, to read the rest, as HTTP wants it to if it is to be used again. finish waits for a read
// of the client's body to return.
func (s *sender) finish(patience time.Duration) (whole bool) {
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-s.done:
		return s.whole
	case <-t.C:
	}
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	select {
	case <-s.done:
		return s.whole
	default: // it waits for room in the pipe
		return false
	}
}

// head writes the request line and the fields. The strings were checked by the front end.
func (s *sender) head() {
	r := s.req
	s.line(r.Method, " ", r.Target, " HTTP/1.1")
	s.line("Host: ", r.Host)
	forwarded := ""
	for _, f := range r.Fields {
		switch {
		case strings.EqualFold(f.Name, "X-Forwarded-For"):
			forwarded = join(forwarded, f.Value)
		case strings.EqualFold(f.Name, "X-Forwarded-Proto"), strings.EqualFold(f.Name, "Content-Length"),
			strings.EqualFold(f.Name, "Expect"), exchange.HopByHop(f.Name): // each is the server's business, or written below
		default:
			s.line(f.Name, ": ", f.Value)
		}
	}
	if ip, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		forwarded = join(forwarded, ip)
	}
	if forwarded != "" {
		s.line("X-Forwarded-For: ", forwarded)
	}
	if r.Scheme == "https" { // without the field everybody takes it for http
		s.line("X-Forwarded-Proto: ", r.Scheme)
	}
	if r.Upgrade != "" {
		s.line("Connection: Upgrade")
		s.line("Upgrade: ", r.Upgrade)
	}
	switch {
	case r.ContentLength > 0 || r.ContentLength == 0 && r.Fields.Get("Content-Length") != "":
		s.line("Content-Length: ", strconv.FormatInt(r.ContentLength, 10))
	case r.ContentLength < 0:
		s.line("Transfer-Encoding: chunked")
	}
	s.line()
}

func join(list, value string) string {
	if list == "" {
		return value
	}
	return list + ", " + value
}

// line writes a line of the head. Errors stay in the writer until it is flushed.
func (s *sender) line(parts ...string) {
	for _, p := range parts {
		_, _ = s.w.WriteString(p)
	}
	_, _ = s.w.WriteString("\r\n")
}

// copyBody passes the client's body on as it comes.
func (s *sender) copyBody(w io.Writer) (whole bool) {
	buf := make([]byte, readBuffer)
	for {
		n, err := s.read(buf)
		if n > 0 {
			if _, werr := w.Write(buf[:n]); werr != nil {
				return false
			}
		}
		switch {
		case err == io.EOF:
			return true
		case err != nil:
			if !errors.Is(err, errStopped) {
				s.err = err
				s.in.end() // or the guest would wait for the rest
			}
			return false
		}
		if s.w.Flush() != nil {
			return false
		}
	}
}

// errStopped is the error of reading a body that is not ours any more.
var errStopped = errors.New("the exchange is over")

func (s *sender) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return 0, errStopped
	}
	return s.req.Body.Read(p)
}

// trailers ends a chunked body.
func (s *sender) trailers() error {
	s.line("0")
	for _, f := range s.req.Trailers {
		if exchange.MayTrail(f.Name) {
			s.line(f.Name, ": ", f.Value)
		}
	}
	s.line()
	return s.w.Flush()
}

// chunks writes each piece as a chunk (RFC 9112 7.1).
type chunks struct{ w *bufio.Writer }

func (c chunks) Write(p []byte) (int, error) {
	_, _ = c.w.WriteString(strconv.FormatInt(int64(len(p)), 16))
	_, _ = c.w.WriteString("\r\n")
	n, _ := c.w.Write(p)
	_, err := c.w.WriteString("\r\n")
	return n, err
}
