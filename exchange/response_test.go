package exchange

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// recorder is a Sink that writes down what reaches it.
type recorder struct {
	log      []string
	head     Fields
	status   int
	length   int64
	body     []byte
	trailers Fields
	err      error // returned by Write
}

func (s *recorder) WriteHead(status int, fields Fields, length int64) error {
	s.status, s.length, s.head = status, length, slices.Clone(fields)
	s.log = append(s.log, "head")
	return nil
}

func (s *recorder) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	s.body = append(s.body, p...)
	s.log = append(s.log, fmt.Sprintf("write %d", len(p)))
	return len(p), nil
}

func (s *recorder) Flush() error { s.log = append(s.log, "flush"); return nil }

func (s *recorder) Close(trailers Fields) error {
	s.trailers = slices.Clone(trailers)
	s.log = append(s.log, "close")
	return nil
}

func (s *recorder) Abort() { s.log = append(s.log, "abort") }

func (s *recorder) String() string { return strings.Join(s.log, " ") }

func start(method string) (*Response, *recorder) {
	s := &recorder{}
	r := &Response{}
	r.Reset(s, method)
	return r, s
}

// must fails the test when a call on a Response fails.
func must(t *testing.T) func(_ any, err error) {
	return func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
}

func expect(t *testing.T, s *recorder, log string, status int, length int64, body string) {
	t.Helper()
	if s.String() != log || s.status != status || s.length != length || string(s.body) != body {
		t.Errorf("have %q, status %d, length %d, body of %d bytes %.40q; want %q, %d, %d, %d bytes %.40q",
			s, s.status, s.length, len(s.body), s.body, log, status, length, len(body), body)
	}
}

func TestResponseFraming(t *testing.T) {
	big := strings.Repeat("b", BufferSize)
	tests := []struct {
		name   string
		method string
		do     func(r *Response)
		log    string
		status int
		length int64
		body   string
	}{
		{"empty", "GET", func(*Response) {}, "head close", 200, 0, ""},
		{"small", "GET", func(r *Response) { r.Status = 201; write(r, "ab", "", "c") }, "head write 3 close", 201, 3, "abc"},
		{"exactly the buffer", "GET", func(r *Response) { write(r, big) }, "head write 32768 close", 200, BufferSize, big},
		{"over the buffer", "GET", func(r *Response) { write(r, big, "x") }, "head write 32768 write 1 close", 200, -1, big + "x"},
		{"one large write", "GET", func(r *Response) { write(r, big+"x") }, "head write 32769 close", 200, -1, big + "x"},
		{"large with its length", "GET", func(r *Response) { r.Fields.Add("content-length", "32769"); write(r, big, "x") }, "head write 32768 write 1 close", 200, BufferSize + 1, big + "x"},
		{"small with its length", "GET", func(r *Response) { r.Fields.Add("Content-Length", "2"); write(r, "ab") }, "head write 2 close", 200, 2, "ab"},
		{"the same length twice", "GET", func(r *Response) {
			r.Fields = Fields{{"Content-Length", "2"}, {"Content-length", "2"}}
			write(r, "ab")
		}, "head write 2 close", 200, 2, "ab"},
		{"flush", "GET", func(r *Response) { write(r, "a"); r.Flush(); write(r, "b"); r.Flush() }, "head write 1 flush write 1 flush close", 200, -1, "ab"},
		{"empty write after the head", "GET", func(r *Response) { r.Flush(); write(r, "") }, "head flush close", 200, -1, ""},
		{"head with body", "HEAD", func(r *Response) { write(r, "abc") }, "head close", 200, 3, ""},
		{"head without body", "HEAD", func(*Response) {}, "head close", 200, -1, ""},
		{"head with a length", "HEAD", func(r *Response) { r.Fields.Add("Content-Length", "7") }, "head close", 200, 7, ""},
		{"head with large body", "HEAD", func(r *Response) { write(r, big, "x") }, "head close", 200, -1, ""},
		{"head flushed", "HEAD", func(r *Response) { write(r, "abc"); r.Flush(); write(r, "d") }, "head flush close", 200, -1, ""},
		{"no content", "GET", func(r *Response) { r.Status = 204; write(r, "abc") }, "head close", 204, -1, ""},
		{"no content with a length", "GET", func(r *Response) { r.Status = 204; r.Fields.Add("Content-Length", "0") }, "head close", 204, -1, ""},
		{"not modified", "GET", func(r *Response) { r.Status = 304 }, "head close", 304, -1, ""},
		{"not modified with a length", "GET", func(r *Response) { r.Status = 304; r.Fields.Add("Content-Length", "9") }, "head close", 304, 9, ""},
		{"trailers", "GET", func(r *Response) { write(r, "a"); r.Trailers.Add("X-T", "1") }, "head write 1 close", 200, -1, "a"},
		{"trailers of head", "HEAD", func(r *Response) { write(r, "a"); r.Trailers.Add("X-T", "1") }, "head close", 200, 1, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, s := start(tt.method)
			tt.do(r)
			if err := r.Finish(); err != nil {
				t.Fatal(err)
			}
			expect(t, s, tt.log, tt.status, tt.length, tt.body)
			if s.head.Has("Content-Length") {
				t.Error("Content-Length is among the fields")
			}
			if r.Sent() != int64(len(tt.body)) || !r.Committed() || len(r.Buffered()) != 0 {
				t.Errorf("Sent %d, Committed %v, %d bytes Buffered", r.Sent(), r.Committed(), len(r.Buffered()))
			}
			if !slices.Equal(s.trailers, r.Trailers) {
				t.Errorf("trailers %v were sent as %v", r.Trailers, s.trailers)
			}
		})
	}
}

// write writes the pieces; errors surface in what the sink got.
func write(r *Response, pieces ...string) {
	for _, p := range pieces {
		_, _ = r.Write([]byte(p))
	}
}

// TestResponseLies covers responses whose head or length is wrong. Those found out before the head is sent can still
// be replaced by an error page, which must then go out whole.
func TestResponseLies(t *testing.T) {
	big := strings.Repeat("b", BufferSize)
	cl := func(v string) func(r *Response) { return func(r *Response) { r.Fields.Add("Content-Length", v) } }
	tests := []struct {
		name      string
		do        func(r *Response)
		pieces    []string
		contains  string
		committed bool
	}{
		{"length too large", cl("5"), []string{"ab"}, "2 bytes of a Content-Length of 5", false},
		{"length too small", cl("1"), []string{"ab"}, "more than its Content-Length of 1", false},
		{"length too small for a large write", cl("10"), []string{big + "x"}, "more than its Content-Length of 10", false},
		{"length too small, streamed", cl("32770"), []string{big, "x", "yz"}, "more than its Content-Length of 32770", true},
		{"length too large, streamed", cl("40000"), []string{big, "x"}, "32769 bytes of a Content-Length of 40000", true},
		{"length no number", cl("2 "), []string{"ab"}, "is not a number", false},
		{"length signed", cl("+2"), []string{"ab"}, "is not a number", false},
		{"length negative", cl("-2"), []string{"ab"}, "is not a number", false},
		{"length hexadecimal", cl("0x2"), []string{"ab"}, "is not a number", false},
		{"length empty", cl(""), nil, "is not a number", false},
		{"length list", cl("2, 2"), []string{"ab"}, "is not a number", false},
		{"length over 63 bits", cl("9223372036854775808"), nil, "is not a number", false},
		{"lengths differ", func(r *Response) { cl("2")(r); cl("3")(r) }, []string{"ab"}, "is not a number", false},
		{"status", func(r *Response) { r.Status = 101 }, nil, "status 101", false},
		{"splitting", func(r *Response) { r.Fields.Add("X", "a\r\nb: c") }, nil, "control characters", false},
		{"trailer", func(r *Response) { r.Trailers.Add("Content-Length", "1") }, []string{"ab"}, "trailer", false},
		{"trailer, streamed", func(r *Response) { r.Trailers.Add("Host", "x") }, []string{big, "x"}, "trailer", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, s := start("GET")
			tt.do(r)
			var err error
			for _, p := range tt.pieces {
				if _, err = r.Write([]byte(p)); err != nil {
					break
				}
			}
			if err == nil {
				err = r.Finish()
			}
			checkFailure(t, err, tt.contains)
			if r.Committed() != tt.committed {
				t.Fatalf("Committed is %v", r.Committed())
			}
			if replaced := r.Replace(502, "text/plain", "bad gateway"); replaced == tt.committed {
				t.Fatalf("Replace returned %v", replaced)
			}
			if tt.committed {
				r.Abort()
				if !strings.HasSuffix(s.String(), "abort") {
					t.Errorf("have %q", s)
				}
				return
			}
			if err := r.Finish(); err != nil {
				t.Fatalf("the error page: %v", err)
			}
			expect(t, s, "head write 11 close", 502, 11, "bad gateway")
			if !slices.Equal(s.head, Fields{{"Content-Type", "text/plain"}}) || len(s.trailers) != 0 {
				t.Errorf("the error page has fields %v, trailers %v", s.head, s.trailers)
			}
		})
	}
}

func TestResponseStripsHopByHop(t *testing.T) {
	r, s := start("GET")
	r.Fields = Fields{
		{"Connection", "close, X-A"},
		{"X-A", "1"},
		{"Keep-Alive", "x"},
		{"transfer-encoding", "chunked"},
		{"TE", "x"},
		{"Upgrade", "h2c"},
		{"Trailer", "x"},
		{"X-B", "2"},
		{"Proxy-Authenticate", "x"},
	}
	must(t)(nil, r.Finish())
	if want := (Fields{{"X-A", "1"}, {"X-B", "2"}}); !slices.Equal(s.head, want) {
		t.Errorf("sent %v, want %v", s.head, want)
	}
}

func TestResponseStates(t *testing.T) {
	t.Run("finish twice", func(t *testing.T) {
		r, s := start("GET")
		must(t)(nil, r.Finish())
		must(t)(nil, r.Finish())
		r.Abort()
		expect(t, s, "head close", 200, 0, "")
	})
	t.Run("abort twice, finish after it", func(t *testing.T) {
		r, s := start("GET")
		r.Abort()
		r.Abort()
		must(t)(nil, r.Finish())
		expect(t, s, "abort", 0, 0, "")
	})
	t.Run("write and flush after the end", func(t *testing.T) {
		for _, end := range []func(*Response){func(r *Response) { _ = r.Finish() }, (*Response).Abort} {
			r, s := start("GET")
			end(r)
			before := s.String()
			if _, err := r.Write([]byte("x")); !errors.Is(err, ErrFinished) {
				t.Errorf("Write returned %v", err)
			}
			must(t)(nil, r.Flush())
			if s.String() != before {
				t.Errorf("have %q after %q", s, before)
			}
		}
	})
	t.Run("reset body", func(t *testing.T) {
		r, s := start("GET")
		must(t)(r.Write([]byte("abc")))
		if string(r.Buffered()) != "abc" {
			t.Errorf("Buffered is %q", r.Buffered())
		}
		must(t)(nil, r.ResetBody())
		must(t)(r.Write([]byte("d")))
		must(t)(nil, r.Flush())
		if err := r.ResetBody(); !errors.Is(err, ErrCommitted) {
			t.Errorf("ResetBody returned %v", err)
		}
		must(t)(nil, r.Finish())
		expect(t, s, "head write 1 flush close", 200, -1, "d")
	})
	t.Run("fields until the head is sent", func(t *testing.T) {
		r, s := start("GET")
		must(t)(r.Write([]byte("abc")))
		r.Status = 404
		r.Fields.Add("X-Late", "1")
		must(t)(nil, r.Finish())
		if s.status != 404 || !s.head.Has("X-Late") {
			t.Errorf("status %d, fields %v", s.status, s.head)
		}
	})
	t.Run("error of the sink", func(t *testing.T) {
		r, s := start("GET")
		s.err = errors.New("broken pipe")
		must(t)(r.Write([]byte("abc")))
		if err := r.Finish(); !errors.Is(err, s.err) {
			t.Errorf("Finish returned %v", err)
		}
		if r.Replace(500, "text/plain", "x") || r.Sent() != 0 {
			t.Errorf("replaced after the head, or Sent is %d", r.Sent())
		}
	})
	t.Run("reset", func(t *testing.T) {
		r, _ := start("HEAD")
		r.Status, r.Fields, r.Trailers = 404, Fields{{"Content-Length", "9"}}, Fields{{"X-T", "1"}}
		must(t)(nil, r.Flush())
		s := &recorder{}
		r.Reset(s, "GET")
		must(t)(r.Write([]byte("x")))
		must(t)(nil, r.Finish())
		expect(t, s, "head write 1 close", 200, 1, "x")
		if len(s.head) != 0 || len(s.trailers) != 0 {
			t.Errorf("fields %v, trailers %v are left over", s.head, s.trailers)
		}
	})
}

func TestResponseHold(t *testing.T) {
	big := strings.Repeat("b", BufferSize)
	r, s := start("GET")
	if before := r.Hold(3 * BufferSize); before != 0 {
		t.Errorf("Hold returned %d", before)
	}
	write(r, big, big)
	must(t)(nil, r.Flush())
	if s.String() != "" || len(r.Buffered()) != 2*BufferSize {
		t.Fatalf("held response: %q, %d bytes buffered", s, len(r.Buffered()))
	}
	_, err := r.Write([]byte(big + "x"))
	checkFailure(t, err, "98304")
	if before := r.Hold(0); before != 3*BufferSize {
		t.Errorf("Hold returned %d", before)
	}
	must(t)(nil, r.Finish())
	expect(t, s, "head write 65536 close", 200, 2*BufferSize, big+big)

	r.Hold(8 * BufferSize)
	r.Reset(&recorder{}, "GET")
	if r.hold != 0 {
		t.Error("Reset keeps the hold")
	}
	r.Hold(8 * BufferSize)
	write(r, big, big, big, "x")
	r.Reset(&recorder{}, "GET")
	if cap(r.buf) != 0 {
		t.Errorf("Reset keeps a buffer of %d bytes", cap(r.buf))
	}
}

func TestResponseStreamsAfterHold(t *testing.T) {
	big := strings.Repeat("b", BufferSize)
	r, s := start("GET")
	r.Hold(2 * BufferSize)
	write(r, big, "x")
	r.Hold(0)
	must(t)(r.Write([]byte("y")))
	must(t)(nil, r.Finish())
	expect(t, s, "head write 32769 write 1 close", 200, -1, big+"xy")
}

// null is a Sink that takes everything.
type null struct{}

func (null) WriteHead(int, Fields, int64) error { return nil }
func (null) Write(p []byte) (int, error)        { return len(p), nil }
func (null) Flush() error                       { return nil }
func (null) Close(Fields) error                 { return nil }
func (null) Abort()                             {}

func TestSmallResponseAllocatesNothing(t *testing.T) {
	var r Response
	body := []byte("hello, world\n")
	sink := Sink(null{})
	if n := testing.AllocsPerRun(100, func() {
		r.Reset(sink, "GET")
		r.Fields.Set("Content-Type", "text/plain")
		r.Fields.Add("Content-Length", "13")
		r.Fields.Add("Connection", "close")
		if _, err := r.Write(body); err != nil {
			t.Error(err)
		}
		if err := r.Finish(); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations per response", n)
	}
}

func TestHandlerFunc(t *testing.T) {
	want := errors.New("x")
	var h Handler = HandlerFunc(func(_ context.Context, x *Exchange) error {
		x.Response.Status = 204
		return want
	})
	var x Exchange
	if err := h.Serve(t.Context(), &x); err != want || x.Response.Status != 204 {
		t.Errorf("err %v, status %d", err, x.Response.Status)
	}
}
