package accesslog

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/appserver-go/appserver/exchange"
)

// A client that sends long values gets a shorter line, not one that a pipe would tear.
func TestLongValuesAreShortened(t *testing.T) {
	long := strings.Repeat("\xff\u00e4x", 4000)
	r := Record{
		RemoteAddr: "192.0.2.1:1", Method: "GET", Target: "/" + long, Proto: "HTTP/1.1", Host: long, ID: "id", Status: 200,
		Request: exchange.Fields{{Name: "Referer", Value: long}, {Name: "User-Agent", Value: long}},
	}
	for _, text := range []string{JSON, `%(h)s "%(r)s" %(s)s "%(f)s" "%(a)s" %({host}i)s`} {
		f, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		line := f.Append([]byte("before"), &r)[len("before"):]
		if len(line) > MaxLine || line[len(line)-1] != '\n' || strings.Count(string(line), "\n") != 1 {
			t.Errorf("%s: a line of %d bytes", text, len(line))
		}
		if !strings.Contains(string(line), "192.0.2.1") || !strings.Contains(string(line), "200") {
			t.Errorf("%s: what is short is gone, too: %s", text, line)
		}
		if text == JSON && !json.Valid(line) {
			t.Errorf("no JSON: %s", line)
		}
	}
	if len(r.Target) != len(long)+1 || len(r.Request[0].Value) != len(long) {
		t.Error("the record itself was shortened")
	}
}
