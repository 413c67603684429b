package workers

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/appserver-go/appserver/config"
	"github.com/appserver-go/appserver/exchange"
)

func TestRequestIDs(t *testing.T) {
	ids := newRequestIDs("X-Request-ID")
	trust, err := NewTrust(&config.Config{ForwardedAllowIPs: []string{"192.0.2.1"}})
	if err != nil {
		t.Fatal(err)
	}
	for id, kept := range map[string]bool{
		"abc-123": true, strings.Repeat("a", 64): true, strings.Repeat("a", 65): false, "": false, "a b": false, "a\x1b": false, "é": false,
		"3fa85f64-5717-4562-b3fc-2c963f66afa6": true, "aGVsbG8/+w==": true, "a:@~_.": true, `a"b`: false,
	} {
		r := &exchange.Request{Fields: exchange.Fields{{Name: "x-request-id", Value: id}}}
		ids.assign(r, nil, trust)
		if (r.ID == id) != kept || r.ID == "" || len(r.Fields) != 1 || r.Fields[0].Value != r.ID {
			t.Errorf("%q became %q, and the guest sees %v", id, r.ID, r.Fields)
		}
		stranger := &exchange.Request{RemoteAddr: "203.0.113.9:99", Fields: exchange.Fields{{Name: "x-request-id", Value: id}, {Name: "X-Request-Id", Value: "b"}}}
		ids.assign(stranger, nil, trust)
		if stranger.ID == id || len(stranger.Fields) != 1 || stranger.Fields[0].Value != stranger.ID {
			t.Errorf("%q of a stranger became %q, and the guest sees %v", id, stranger.ID, stranger.Fields)
		}
	}
	seen := map[string]bool{}
	for range 1000 {
		var a, b exchange.Request
		ids.assign(&a, make([]byte, 64), trust)
		newRequestIDs("").assign(&b, nil, trust)
		if seen[a.ID] || seen[b.ID] || !exchange.ValidName(a.ID) {
			t.Fatalf("ids %q and %q", a.ID, b.ID)
		}
		if len(b.Fields) != 0 {
			t.Fatalf("a field without a header's name: %v", b.Fields)
		}
		seen[a.ID], seen[b.ID] = true, true
	}
}

func TestLimiter(t *testing.T) {
	l := newLimiter(10, 3)
	now := time.Now()
	for i := range 3 {
		if ok, dropped := l.allow(now); !ok || dropped != 0 {
			t.Fatalf("record %d of the burst: %v %d", i, ok, dropped)
		}
	}
	for range 5 {
		if ok, _ := l.allow(now); ok {
			t.Fatal("more than the burst")
		}
	}
	if ok, dropped := l.allow(now.Add(100 * time.Millisecond)); !ok || dropped != 5 {
		t.Errorf("after a tenth of a second: %v, %d dropped", ok, dropped)
	}
	if ok, _ := l.allow(now.Add(50 * time.Millisecond)); ok {
		t.Error("time that runs backwards makes room")
	}
	n := 0
	for range 10 {
		if ok, _ := l.allow(now.Add(time.Hour)); ok {
			n++
		}
	}
	if n != 3 {
		t.Errorf("an hour makes room for %d records, more than the burst", n)
	}
}

func TestGuestLog(t *testing.T) {
	var out bytes.Buffer
	g := NewGuestLog(slog.New(slog.NewTextHandler(&out, nil)))
	g.Line(slog.LevelInfo, "stderr", "id-1", "one\ntwo \x1b[31m")
	g.Line(slog.LevelDebug, "stderr", "", "not at this level")
	g.Line(slog.LevelInfo, "stdout", "", strings.Repeat("x", 1<<20))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `msg=Guest line="one\ntwo \x1b[31m" stream=stderr request_id=id-1`) {
		t.Fatalf("%d lines, the first %q", len(lines), lines[0])
	}
	if len(lines[1]) > guestLineMax+200 {
		t.Errorf("a line of %d bytes", len(lines[1]))
	}
	out.Reset()
	for i := range 3 * guestLineBurst {
		g.Line(slog.LevelInfo, "stderr", "", fmt.Sprint(i))
	}
	if n := strings.Count(out.String(), "\n"); n < guestLineBurst-2 || n >= 3*guestLineBurst {
		t.Errorf("%d of %d lines were written", n, 3*guestLineBurst)
	}
}

func TestProcessors(t *testing.T) {
	for _, tt := range []struct{ cpus, workers, want int }{{1, 1, 2}, {2, 2, 2}, {4, 1, 5}, {8, 3, 4}, {64, 2, 33}, {2, 100, 2}, {2, 0, 3}} {
		if got := processors(tt.cpus, tt.workers); got != tt.want {
			t.Errorf("%d cpus, %d workers: %d, want %d", tt.cpus, tt.workers, got, tt.want)
		}
	}
}

func TestDeadTime(t *testing.T) {
	if got := deadTime(30*time.Second, 5*time.Second); got != 65*time.Second {
		t.Errorf("got %v", got)
	}
	if got := deadTime(0, time.Second); got != 0 {
		t.Errorf("without worker_timeout: %v", got)
	}
}

func TestOwnerVerify(t *testing.T) {
	const good = "Name:\tx\nUid:\t5\t5\t5\t5\nGid:\t6\t6\t6\t6\nGroups:\t6 7 \n" +
		"CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapAmb:\t0000000000000000\n"
	o := &Owner{UID: 5, GID: 6, Groups: []int{7, 6, 7}}
	if err := o.verify(good); err != nil {
		t.Error(err)
	}
	for _, change := range []string{"Uid:\t5\t0", "Gid:\t6\t6\t0", "Groups:\t0 6", "CapEff:\t0000000000000001", "CapPrm"} {
		key, _, _ := strings.Cut(change, ":")
		i := strings.Index(good, key)
		bad := good[:i] + change + good[i+len(change):]
		if !strings.Contains(change, ":") {
			bad = strings.ReplaceAll(good, change, "Other")
		}
		if err := o.verify(bad); err == nil {
			t.Errorf("%q passes", bad)
		}
	}
}

func TestFindOwner(t *testing.T) {
	if o, err := FindOwner("", ""); o != nil || err != nil {
		t.Errorf("nobody asked for: %+v %v", o, err)
	}
	for _, bad := range [][2]string{{"no-such-user", ""}, {"", "no-such-group"}, {"-1", ""}, {"4000000", ""}} {
		if o, err := FindOwner(bad[0], bad[1]); err == nil {
			t.Errorf("%q found %+v", bad, o)
		}
	}
	o, err := FindOwner("4000000", "4000001")
	if os.Geteuid() != 0 {
		if err == nil {
			t.Errorf("a user that is not root may become %+v", o)
		}
		return
	}
	if err != nil || o.UID != 4000000 || o.GID != 4000001 || len(o.Groups) != 1 {
		t.Errorf("got %+v %v", o, err)
	}
}
