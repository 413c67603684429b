package accesslog

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/fault"
)

const defaultFormat = `%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"`

func sample() *Record {
	return &Record{
		RemoteAddr: "127.0.0.1:4711", Method: "GET", Target: `/a?b="c"`, Proto: "HTTP/1.1", Host: "example.org",
		Request: exchange.Fields{
			{Name: "User-Agent", Value: "curl/8"},
			{Name: "referer", Value: "http://x/"},
			{Name: "X-One", Value: "1"},
			{Name: "Authorization", Value: "Basic " + base64.StdEncoding.EncodeToString([]byte("ann b:secret"))},
		},
		Response: exchange.Fields{{Name: "Content-Type", Value: "text/plain"}},
		Status:   200, Bytes: 10,
		Start:    time.Date(2026, 11, 23, 0, 57, 20, 0, time.UTC),
		Duration: 2*time.Second + 34567*time.Microsecond + 890,
		ID:       "id-1", PID: 42,
	}
}

func line(t *testing.T, format string, r *Record) string {
	t.Helper()
	f, err := Parse(format)
	if err != nil {
		t.Fatalf("Parse(%q): %v", format, err)
	}
	got, ok := strings.CutSuffix(string(f.Append(nil, r)), "\n")
	if !ok || strings.Contains(got, "\n") {
		t.Fatalf("%q does not make one line: %q", format, got)
	}
	return got
}

func TestAtoms(t *testing.T) {
	for format, want := range map[string]string{
		defaultFormat: `127.0.0.1 - ann\x20b [23/Nov/2026:00:57:22 +0000] "GET /a?b=\x22c\x22 HTTP/1.1" 200 10 "http://x/" "curl/8"`,
		"%(h)s":       "127.0.0.1", "%(l)s": "-", "%(u)s": `ann\x20b`, "%(m)s": "GET", "%(U)s": "/a", "%(q)s": `b=\x22c\x22`,
		"%(H)s": "HTTP/1.1", "%(s)s": "200", "%(B)s": "10", "%(b)s": "10", "%(f)s": "http://x/", "%(a)s": "curl/8",
		"%(T)s": "2", "%(M)s": "2034", "%(D)s": "2034567", "%(L)s": "2.034567", "%(p)s": "<42>",
		"%({x-one}i)s": "1", "%({X-ONE}I)s": "1", "%({absent}i)s": "-", "%({host}i)s": "example.org",
		"%({content-type}o)s": "text/plain", "%({x-one}o)s": "-",
		"%({REMOTE_PORT}e)s": "4711", "%({remote_addr}E)s": "127.0.0.1", "%({HTTP_X_ONE}e)s": "1", "%({HTTP_HOST}e)s": "example.org",
		"%({REQUEST_METHOD}e)s": "GET", "%({RAW_URI}e)s": `/a?b=\x22c\x22`, "%({PATH_INFO}e)s": "/a",
		"%({QUERY_STRING}e)s": `b=\x22c\x22`, "%({SERVER_PROTOCOL}e)s": "HTTP/1.1", "%({HOME}e)s": "-", "%({CONTENT_TYPE}e)s": "-",
		"100%% of %(m)s%(s)s\té": "100% of GET200\té", "no atoms": "no atoms", "%%(h)s": "%(h)s",
	} {
		if got := line(t, format, sample()); got != want {
			t.Errorf("%s is %q, want %q", format, got, want)
		}
	}
}

func TestMissing(t *testing.T) {
	r := &Record{Start: time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", -5400))}
	if got, want := line(t, defaultFormat, r), `- - - [02/Jan/2026:03:04:05 -0130] "-" - - "-" "-"`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := line(t, "%(m)s %(U)s %(q)s %(H)s %(B)s %(T)s %(L)s %(p)s", r); got != "- - - - 0 0 0.000000 <0>" {
		t.Errorf("got %q", got)
	}
	r.Duration = -time.Second // the clock was set back
	if got := line(t, "%(T)s %(M)s %(D)s %(L)s", r); got != "0 0 0 0.000000" {
		t.Errorf("got %q", got)
	}
}

func TestPeer(t *testing.T) {
	for addr, want := range map[string]string{
		"1.2.3.4:5": "1.2.3.4", "[::1]:80": "::1", "": "-", "::1": "::1", "[fe80::1%eth0]:9": "fe80::1%eth0", "host": "host",
	} {
		if got := line(t, "%(h)s", &Record{RemoteAddr: addr}); got != want {
			t.Errorf("the peer of %q is %q, want %q", addr, got, want)
		}
	}
}

func TestUser(t *testing.T) {
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for value, want := range map[string]string{
		"Basic " + encode("ann:x"): "ann", "basic  " + encode("ann:x"): "ann", "Bearer abc": "-", "Basic": "-", "Basic !!": "-",
		"Basic " + encode("no colon"): "-", "Basic " + encode(":x"): "-", "Basic " + encode("a\n\"b:x"): `a\x0A\x22b`,
		"Basic " + encode(strings.Repeat("n", 255)+":"+strings.Repeat("x", 999)): strings.Repeat("n", 255),
		"Basic " + encode(strings.Repeat("n", 999)+":x"):                         "-",
		"Basic " + encode("é\xff:x"):                                             `é\xFF`,
	} {
		r := &Record{Request: exchange.Fields{{Name: "authorization", Value: value}}}
		if got := line(t, "%(u)s", r); got != want {
			t.Errorf("the user of %q is %q, want %q", value, got, want)
		}
	}
}

func TestEscapes(t *testing.T) {
	for value, want := range map[string]string{
		"a\"b\\c": `a\x22b\x5Cc`, "\r\n\t\x00\x7f": `\x0D\x0A\x09\x00\x7F`, "\x1b[31m": `\x1B[31m`, "caf\xe9": `caf\xE9`,
		"é世": "é世", "\u2028\u2029": `\u2028\u2029`, "\u202e": `\u202E`, "\u009b": `\u009B`, "\u0085": `\u0085`,
		"\U000e0001": `\U000E0001`, "\ufffd": "\ufffd", "\xed\xa0\x80": `\xED\xA0\x80`,
	} {
		if got := line(t, "%(a)s", &Record{Request: exchange.Fields{{Name: "User-Agent", Value: value}}}); got != want {
			t.Errorf("%q is %q, want %q", value, got, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for format, hint := range map[string]string{
		"": "switched off", "%": "write atoms", "%h": "write atoms", "%(h": "write atoms", "%(h)d": "write atoms", "%(h)": "write atoms",
		"%(x)s": "the atoms are", "%(S)s": "did you mean %(s)s?", "%(A)s": "did you mean %(a)s?", "%()s": "the atoms are",
		"%({x}z)s": "after the braces", "%({}i)s": "the atoms are", "%({a b}i)s": "names are like", "a\nb": "a line ends", "%({x}i": "write atoms",
		"%(hh)s": "the atoms are", "%({x}ii)s": "the atoms are", "x%": "write atoms",
	} {
		f, err := Parse(format)
		if err == nil {
			t.Errorf("Parse(%q) = %+v, want an error", format, f)
		} else if !strings.Contains(fault.Hint(err), hint) {
			t.Errorf("Parse(%q): %v, hint %q, want %q", format, err, fault.Hint(err), hint)
		}
	}
}

func TestJSON(t *testing.T) {
	var got map[string]any
	r := sample()
	if err := json.Unmarshal([]byte(line(t, "json", r)), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"time": "2026-11-23T00:57:22.034Z", "remote_addr": "127.0.0.1", "method": "GET", "target": `/a?b="c"`,
		"proto": "HTTP/1.1", "host": "example.org", "status": 200.0, "bytes": 10.0, "duration_us": 2034567.0,
		"request_id": "id-1", "pid": 42.0, "referer": "http://x/", "user_agent": "curl/8",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	r.Killed, r.Status = "timeout", 0
	if text := line(t, "json", r); !strings.HasSuffix(text, `,"killed":true,"reason":"timeout"}`) || !strings.Contains(text, `"status":0,`) {
		t.Errorf("a killed request: %s", text)
	}
	if text := line(t, "json", &Record{}); text != `{"time":"0001-01-01T00:00:00.000Z","status":0,"bytes":0,"duration_us":0}` {
		t.Errorf("an empty record: %s", text)
	}
}

func TestJSONEscapes(t *testing.T) {
	for value, want := range map[string]string{
		"\"\\": `"\"\\"`, "\n\x00\x7f": `"\u000A\u0000\u007F"`, "\u009b\u202e\u2028": `"\u009B\u202E\u2028"`,
		"caf\xe9": `"caf\uFFFD"`, "\U000e0001": `"\uDB40\uDC01"`, "é😀": `"é😀"`, "</script>": `"</script>"`,
	} {
		if got := string(AppendString(nil, value)); got != want {
			t.Errorf("%q is %s, want %s", value, got, want)
		}
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	for _, format := range []string{defaultFormat, "json"} {
		f, err := Parse(format)
		if err != nil {
			t.Fatal(err)
		}
		r, buf := sample(), make([]byte, 0, 1024)
		if n := testing.AllocsPerRun(100, func() { buf = f.Append(buf[:0], r) }); n != 0 {
			t.Errorf("%s: %v allocations for a line", format, n)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	for name, format := range map[string]string{"default": defaultFormat, "json": "json"} {
		b.Run(name, func(b *testing.B) {
			f, err := Parse(format)
			if err != nil {
				b.Fatal(err)
			}
			r, buf := sample(), make([]byte, 0, 1024)
			b.ReportAllocs()
			for b.Loop() {
				buf = f.Append(buf[:0], r)
			}
		})
	}
}

func FuzzAppend(f *testing.F) {
	f.Add("127.0.0.1:1", "GET", "/?a", "agent", "killed", 200, int64(5))
	f.Add("[::1]:1", "G\nT", "/\"\\\r\n", "\u2028\x9b\xff", "\x00", -1, int64(-1))
	f.Add("", "", "", "Basic OmE=", "", 0, int64(0))
	formats := map[string]*Format{}
	for _, text := range []string{defaultFormat, "json", "%(u)s %({x}i)s %({y}o)s %({HTTP_X}e)s %(q)s %(L)s %(H)s"} {
		format, err := Parse(text)
		if err != nil {
			f.Fatal(err)
		}
		formats[text] = format
	}
	f.Fuzz(func(t *testing.T, addr, method, target, field, killed string, status int, duration int64) {
		fields := exchange.Fields{}
		for _, name := range []string{"User-Agent", "Referer", "X", "Y", "Authorization"} {
			fields.Add(name, field)
		}
		fields.Add("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(field)))
		r := &Record{
			RemoteAddr: addr, Method: method, Target: target, Proto: field, Host: field, Request: fields, Response: fields,
			Killed: killed, ID: field, Status: status, Duration: time.Duration(duration), Start: time.Unix(1e9, 0),
		}
		for text, format := range formats {
			got := format.Append([]byte("x"), r)
			if bytes.Count(got, []byte("\n")) != 1 || got[len(got)-1] != '\n' || !utf8.Valid(got) {
				t.Fatalf("%s makes %q", text, got)
			}
			if i := bytes.IndexFunc(got[:len(got)-1], func(c rune) bool { return c < ' ' || c >= 0x7f && c < 0xa0 || c == 0x2028 || c == 0x202e }); i >= 0 {
				t.Fatalf("%s lets a control character pass: %q", text, got)
			}
			if text == "json" && !json.Valid(got[1:]) {
				t.Fatalf("no JSON: %s", got)
			}
			if text == defaultFormat && bytes.Count(got, []byte(`"`)) != 6 {
				t.Fatalf("forged quotes: %s", got)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{defaultFormat, "json", "%", "%(h)s%%", "%({a}i)s", "%({a}", "%()s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		format, err := Parse(s)
		if err != nil {
			return
		}
		if got := format.Append(nil, sample()); bytes.Count(got, []byte("\n")) != 1 {
			t.Errorf("%q makes %q", s, got)
		}
	})
}
