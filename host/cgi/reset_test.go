package cgi

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/appserver-go/appserver/exchange"
)

// The modules are built from the .wat files beside them by wat2wasm --debug-names.
var (
	//go:embed testdata/state.wasm
	stateWasm []byte
	//go:embed testdata/checkpoint.wasm
	checkpointWasm []byte
	//go:embed testdata/never.wasm
	neverWasm []byte
)

// loadReset loads a guest whose instances are reset, and returns what it logs.
func loadReset(t *testing.T, wasm []byte, o Options) (*Guest, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	o.Reset, o.Log = true, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return load(t, wasm, o), &log
}

// answer serves a plain request that must succeed and returns the body.
func answer(t *testing.T, g *Guest) string {
	t.Helper()
	var w wire
	if status, failure := serve(t, g, newExchange(&w, "GET", "/")); status != 200 {
		t.Fatalf("status %d, %v", status, failure)
	}
	return w.body.String()
}

// TestCheckpointByItself serves a guest that says nothing of a checkpoint: it goes on from before its first question to the
// host, so clock and random numbers are right for each request.
func TestCheckpointByItself(t *testing.T) {
	g, log := loadReset(t, stateWasm, Options{})
	if g.From() != "a checkpoint" {
		t.Fatalf("the guest does not go on from a checkpoint: %s", log)
	}
	seen := map[string]bool{}
	for n := range 20 {
		body := answer(t, g)
		if len(body) != 25 || body[0] != '1' {
			t.Fatalf("request %d: %q, want one start", n, body)
		}
		for _, part := range []string{body[1:9], body[9:17], body[17:]} {
			if seen[part] {
				t.Errorf("request %d saw the time or a random number of another", n)
			}
			seen[part] = true
		}
	}
}

// TestCheckpointDeclared serves a guest that says where its checkpoint is: what it asked before is asked once for each
// instance, what it asks afterwards each time.
func TestCheckpointDeclared(t *testing.T) {
	g, log := loadReset(t, checkpointWasm, Options{MaxRequests: 10})
	if g.From() != "a checkpoint" {
		t.Fatalf("the guest does not go on from a checkpoint: %s", log)
	}
	before, after := map[string]int{}, map[string]bool{}
	for n := range 40 {
		body := answer(t, g)
		if len(body) != 25 || body[0] != '1' {
			t.Fatalf("request %d: %q, want one start", n, body)
		}
		before[body[1:17]]++
		if after[body[17:]] {
			t.Errorf("request %d got the random number of another", n)
		}
		after[body[17:]] = true
	}
	if len(before) != 4 { // guest.max_requests
		t.Errorf("%d instances served, want one for ten requests each: %v", len(before), before)
	}
}

// TestCheckpointOfNoUse falls back to beginning anew, says why, and answers right all the same.
func TestCheckpointOfNoUse(t *testing.T) {
	g, log := loadReset(t, neverWasm, Options{})
	if g.From() != "the beginning" || !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "it prints before") {
		t.Errorf("the log has %s", log)
	}
	for range 3 {
		if body := answer(t, g); body != "never1" {
			t.Errorf("the guest answered %q", body)
		}
	}
}

// TestLoopBeforeAnything bounds the search for a checkpoint: to loop is a matter for requests, which have a deadline.
func TestLoopBeforeAnything(t *testing.T) {
	const module = "\x00asm\x01\x00\x00\x00" +
		"\x01\x04\x01\x60\x00\x00" + // type 0 is () -> ()
		"\x03\x02\x01\x00" + "\x05\x03\x01\x00\x01" + "\x07\x0a\x01\x06_start\x00\x00" +
		"\x0a\x09\x01\x07\x00\x03\x40\x0c\x00\x0b\x0b" // loop; br 0; end
	g, log := loadReset(t, []byte(module), Options{})
	if g.From() != "the beginning" || strings.Contains(log.String(), "WARN") {
		t.Errorf("the log has %s", log)
	}
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		f := exchange.AsFailure(g.Serve(ctx, newExchange(&wire{}, "GET", "/")))
		cancel()
		if f.Status != 504 {
			t.Errorf("got %d, %v", f.Status, f)
		}
	}
}

// TestResetProperty sends random requests, of which many end badly, to a guest that is reset and to one that is fresh each
// time. The answers must be the same; every reset is verified, to the byte.
func TestResetProperty(t *testing.T) {
	reset, log := loadReset(t, scriptWasm, Options{})
	fresh := load(t, scriptWasm, Options{})
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 150 {
		script := []string{"wStatus: 200\n\n"}
		deadline := time.Minute
		for range r.IntN(5) {
			switch c := r.IntN(12); {
			case c < 5:
				script = append(script, fmt.Sprintf("w%x", r.Uint64()))
			case c < 9:
				script = append(script, "g")
			case c == 9:
				script = append(script, fmt.Sprintf("e%d", r.IntN(3)))
			case c == 10:
				script = append(script, "t")
			case round%10 == 0:
				script, deadline = append(script, "l"), 30*time.Millisecond
			case round%10 == 5:
				script = append(script, "o")
			}
		}
		target := "/?" + strings.Join(script, "&")
		got, want := outcome(t, reset, target, deadline), outcome(t, fresh, target, deadline)
		if got != want {
			t.Fatalf("round %d, %q: %s, want %s\n%s", round, script, got, want, log)
		}
	}
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "not reset") && !strings.Contains(line, "ran out of stack") {
			t.Errorf("a reset went wrong: %s", line)
		}
	}
}

// outcome is all that there is to tell of a request.
func outcome(t *testing.T, g *Guest, target string, deadline time.Duration) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	var w wire
	x := newExchange(&w, "GET", target)
	err := g.Serve(ctx, x)
	if err == nil {
		err = x.Response.Finish()
	}
	if err != nil {
		f := exchange.AsFailure(err)
		return fmt.Sprintf("%d %s %v", f.Status, f.Reason, f.Err)
	}
	return fmt.Sprintf("%d %q", w.status, w.body.String())
}
