package exchange

import (
	"errors"
	"strconv"
	"strings"
	"testing"
)

// checkFailure fails the test unless err is a *Failure with status 502 that names the guest's response as the cause.
func checkFailure(t *testing.T, err error, contains string) {
	t.Helper()
	var f *Failure
	if !errors.As(err, &f) || f.Status != 502 || f.Reason != BadResponse {
		t.Fatalf("have %#v, want a 502 failure for a bad response", err)
	}
	if !strings.Contains(f.Error(), contains) {
		t.Errorf("error %q does not contain %q", f, contains)
	}
}

func TestCheckHeadStatus(t *testing.T) {
	for _, status := range []int{-1, 0, 1, 99, 100, 101, 103, 199, 600, 999, 1000, 1 << 31} {
		checkFailure(t, CheckHead(status, nil), strconv.Itoa(status))
	}
	for _, status := range []int{200, 204, 299, 304, 404, 500, 599} {
		if err := CheckHead(status, nil); err != nil {
			t.Errorf("status %d: %v", status, err)
		}
	}
}

var hostileFields = []struct{ name, value string }{
	{"X-A", "a\r\nSet-Cookie: b"},
	{"X-A", "a\nb"},
	{"X-A", "a\rb"},
	{"X-A", "a\x00b"},
	{"X-A", "\x1b[31m"},
	{"X-A", "\x7f"},
	{"X-A\r\nX-B", "v"},
	{"X-A:", "v"},
	{"X A", "v"},
	{" X-A", "v"},
	{"", "v"},
	{"X-\x00", "v"},
	{"X-Ä", "v"},
	{"X-\xff", "v"},
	{"(X)", "v"},
	{"X-A\t", "v"},
	{"X-A/", "v"},
}

func TestCheckFields(t *testing.T) {
	for _, f := range hostileFields {
		checkFailure(t, CheckHead(200, Fields{{"Ok", "1"}, {f.name, f.value}}), "")
		checkFailure(t, CheckTrailers(Fields{{"Ok", "1"}, {f.name, f.value}}), "")
	}
	fine := Fields{
		{"X-!#$%&'*+-.^_`|~0aZ", "v"},
		{"X-Empty", ""},
		{"X-Tab", "a\tb"},
		{"X-Latin1", "caf\xe9"},
		{"X-UTF8", "é"},
		{"X-Punct", `"(),/:;<=>?@[\]{}`},
	}
	if err := CheckHead(200, fine); err != nil {
		t.Error(err)
	}
	if err := CheckTrailers(fine); err != nil {
		t.Error(err)
	}
}

func TestCheckFieldLimits(t *testing.T) {
	many := make(Fields, MaxResponseFields)
	for i := range many {
		many[i] = Field{"A", "b"}
	}
	if err := CheckHead(200, many); err != nil {
		t.Errorf("%d fields: %v", len(many), err)
	}
	checkFailure(t, CheckHead(200, append(many, Field{"A", "b"})), "257")

	line := len("A") + len(": \r\n")
	big := Fields{{"A", strings.Repeat("x", MaxResponseHeadBytes-line)}}
	if err := CheckHead(200, big); err != nil {
		t.Errorf("%d bytes: %v", MaxResponseHeadBytes, err)
	}
	big[0].Value += "x"
	checkFailure(t, CheckHead(200, big), strconv.Itoa(MaxResponseHeadBytes))
}

func TestErrorsQuoteAndClipGuestText(t *testing.T) {
	err := CheckHead(200, Fields{{"X", "\x1b" + strings.Repeat("y", 1000)}})
	if strings.ContainsAny(err.Error(), "\x1b\n") || len(err.Error()) > 300 {
		t.Errorf("raw or long guest text in %q", err)
	}
	err = CheckHead(200, Fields{{"X\n" + strings.Repeat("y", 1000), "v"}})
	if strings.ContainsAny(err.Error(), "\n") || len(err.Error()) > 300 {
		t.Errorf("raw or long guest text in %q", err)
	}
}

func TestCheckTrailersRefusesFramingAndRouting(t *testing.T) {
	for _, name := range []string{
		"content-length", "Content-Length", "Transfer-Encoding", "Trailer", "HOST", "Connection", "TE", "Upgrade",
		"Content-Type", "Content-Encoding", "Content-Range", "Set-Cookie", "Authorization", "WWW-Authenticate",
		"Cache-Control", "If-None-Match", "If-Match", "Location",
	} {
		checkFailure(t, CheckTrailers(Fields{{name, "1"}}), name)
		if MayTrail(name) {
			t.Errorf("MayTrail(%q) is true", name)
		}
	}
	for _, name := range []string{"Grpc-Status", "Server-Timing", "Digest", "ETag", "Expires", "I", "If"} {
		if err := CheckTrailers(Fields{{name, "1"}}); err != nil || !MayTrail(name) {
			t.Errorf("trailer %s: %v", name, err)
		}
	}
}

func TestHopByHop(t *testing.T) {
	for _, name := range []string{"connection", "KEEP-ALIVE", "te", "Upgrade", "Proxy-Connection", "transfer-encoding"} {
		if !HopByHop(name) {
			t.Errorf("%s is not hop-by-hop", name)
		}
	}
	for _, name := range []string{"", "Content-Length", "Date", "Connection-X", "Vary"} {
		if HopByHop(name) {
			t.Errorf("%s is hop-by-hop", name)
		}
	}
}

func TestAsFailure(t *testing.T) {
	if f := AsFailure(errors.New("x")); f.Status != 500 || f.Reason != Internal || f.Error() != "x" {
		t.Errorf("have %+v", f)
	}
	want := Fail(413, BadRequest, "too large")
	if f := AsFailure(errors.Join(errors.New("x"), want)); f != want {
		t.Errorf("have %+v", f)
	}
	if s := (&Failure{Reason: Overloaded}).Error(); s != "overload" {
		t.Errorf("a failure without a cause is %q", s)
	}
	cause := errors.New("cause")
	if err := Fail(502, Upstream, "dial: %w", cause); !errors.Is(err, cause) {
		t.Error("the cause is lost")
	}
}

func TestSendFailure(t *testing.T) {
	broken := errors.New("broken pipe")
	if f := AsFailure(SendFailure(broken)); f.Status != 503 || f.Reason != Canceled || !errors.Is(f, broken) {
		t.Errorf("have %+v", f)
	}
	rule := Fail(502, BadResponse, "a rule")
	if f := SendFailure(errors.Join(rule)); f != rule {
		t.Errorf("have %v", f)
	}
	if SendFailure(nil) != nil {
		t.Error("no error is a failure")
	}
}

func TestRequestPathAndQuery(t *testing.T) {
	for _, tt := range []struct{ target, path, query string }{
		{"/", "/", ""},
		{"/a%20b?c=d%26", "/a%20b", "c=d%26"},
		{"/a?", "/a", ""},
		{"/a?b?c", "/a", "b?c"},
		{"*", "*", ""},
		{"?x", "", "x"},
		{"", "", ""},
	} {
		r := Request{Target: tt.target}
		if r.Path() != tt.path || r.Query() != tt.query {
			t.Errorf("%q: path %q, query %q", tt.target, r.Path(), r.Query())
		}
	}
}

func FuzzCheckHead(f *testing.F) {
	for _, h := range hostileFields {
		f.Add(200, h.name, h.value)
	}
	f.Add(101, "Ok", "fine")
	f.Fuzz(func(t *testing.T, status int, name, value string) {
		if CheckHead(status, Fields{{name, value}}) != nil {
			return
		}
		if status < 200 || status > 599 || name == "" || len(name)+len(value) > MaxResponseHeadBytes {
			t.Errorf("accepted status %d, name of %d, value of %d bytes", status, len(name), len(value))
		}
		if strings.ContainsAny(name, "\r\n\x00 :\t") || strings.ContainsAny(value, "\r\n\x00") {
			t.Errorf("accepted %q: %q", name, value)
		}
	})
}
