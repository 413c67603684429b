package dev

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestParseRecord(t *testing.T) {
	var line bytes.Buffer
	slog.New(slog.NewJSONHandler(&line, nil)).Error("Request failed", "request_id", "a", "status", 500, "stack", `b\nc`, "list", []int{1})
	r, ok := parseRecord(line.Bytes())
	if !ok || r.Message != "Request failed" || r.Level != slog.LevelError || time.Since(r.Time) > time.Hour {
		t.Fatalf("%v %+v", ok, r)
	}
	var keys []string
	for _, a := range r.Attrs {
		keys = append(keys, a.Key)
	}
	if got := strings.Join(keys, " "); got != "request_id status stack list" {
		t.Errorf("attributes %s", got)
	}
	if r.text("status") != "" || r.text("request_id") != "a" || unescape(r.text("stack")) != "b\nc" {
		t.Errorf("%+v", r.Attrs)
	}
	for _, bad := range []string{"", "x", "[]", `{"msg":1}`, `{"msg"`, `{"msg":"a"`, "appserver: error: x", `"msg"`} {
		if r, ok := parseRecord([]byte(bad)); ok && bad != `{"msg":"a"` {
			t.Errorf("%q is %+v", bad, r)
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add([]byte(`{"time":"2026-01-01T00:00:00Z","level":"WARN","msg":"a","x":{"y":[1,null]}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, ok := parseRecord(line)
		var m map[string]any
		if err := json.Unmarshal(line, &m); err == nil && m != nil {
			if _, isText := m["msg"].(string); isText && m["msg"] != "" && !ok {
				t.Errorf("%q is not taken", line)
			}
		}
		if ok && r.Message == "" {
			t.Errorf("%q has no message", line)
		}
	})
}

func record(level slog.Level, msg string, pairs ...string) *Record {
	r := &Record{Level: level, Message: msg}
	for i := 0; i < len(pairs); i += 2 {
		r.Attrs = append(r.Attrs, slog.String(pairs[i], pairs[i+1]))
	}
	return r
}

func TestJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := NewJournal()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go func() {
			time.Sleep(10 * time.Millisecond)
			j.Add(record(slog.LevelInfo, "Guest", "request_id", "a", "line", `one\ttwo`))
			j.Add(record(slog.LevelError, "Request failed", "request_id", "b", "reason", "trap"))
			time.Sleep(10 * time.Millisecond)
			j.Add(record(slog.LevelError, "Request failed", "request_id", "a", "reason", "trap", "error", "e", "stack", `f\ng`))
			j.Add(record(slog.LevelError, "Worker is stuck in a request, aborting it", "request_id", "a"))
		}()
		e, ok := j.failure(ctx, "a")
		if !ok || e.reason != "trap" || e.error != "e" || e.stack != "f\ng" || len(e.lines) != 1 || e.lines[0] != "one\ttwo" {
			t.Errorf("%v %+v", ok, e)
		}
		if _, ok := j.failure(ctx, "c"); ok {
			t.Error("a request that nobody knows has failed")
		}
		j.Add(record(slog.LevelError, "Worker is stuck in a request, aborting it", "request_id", "d"))
		if e, ok := j.failure(t.Context(), "d"); !ok || e.reason != "killed" {
			t.Errorf("%v %+v", ok, e)
		}
		if got := j.printed(); len(got) != 1 {
			t.Errorf("printed %q", got)
		}
		j.Forget()
		for range 3 * linesMax {
			j.Add(record(slog.LevelInfo, "Guest", "line", "x"))
		}
		if got := j.printed(); len(got) != linesMax {
			t.Errorf("%d lines", len(got))
		}
		for i := range 3 * journalMax {
			j.Add(record(slog.LevelInfo, "Guest", "line", "x", "request_id", string(rune('a'+i))))
		}
		if len(j.requests) != journalMax || len(j.order) != journalMax {
			t.Errorf("%d requests", len(j.requests))
		}
	})
}

func TestHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if s := h.Settled(short); s.Phase != Building || s.Version != "" {
			t.Errorf("%+v", s)
		}
		go func() {
			time.Sleep(time.Minute)
			h.Build("step")
			time.Sleep(time.Minute)
			h.Serve()
		}()
		first := h.Settled(t.Context())
		h.Build("again")
		if s, _ := h.State(); s.Phase != Building || s.Step != "again" || s.Version != first.Version {
			t.Errorf("%+v", s)
		}
		h.Fail(&Report{Title: "t"})
		second := h.Settled(t.Context())
		if first.Phase != Serving || second.Phase != Failed || second.Report.Title != "t" || first.Version == second.Version {
			t.Errorf("%+v, %+v", first, second)
		}
		if other := NewHub(); other.prefix == h.prefix {
			t.Error("two runs have the same versions")
		}
	})
}
