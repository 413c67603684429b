package kit

import (
	"log/slog"
	"slices"
	"testing"
)

func TestLog(t *testing.T) {
	h := newFakeHost(t, "GET", "/", "")
	log := slog.New(newLogSink(h))
	h.minLevel = levelInfo
	log.Debug("unwanted")
	log.Info("hello", "n", 1)
	log.With("a", "x y").WithGroup("g").Warn("two\nlines", "level", "mine")
	log.Error("bad")
	// The digit is the level plus one.
	want := []string{`1 msg=hello n=1`, `2 msg="two\nlines" a="x y" g.level=mine`, `3 msg=bad`}
	if !slices.Equal(h.logged, want) {
		t.Errorf("logged %q, want %q", h.logged, want)
	}
	h.minLevel = levelDebug
	log.Debug("wanted")
	if h.logged[len(h.logged)-1] != "0 msg=wanted" {
		t.Errorf("logged %q", h.logged)
	}
}
