package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/lmittmann/tint"
	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/config"
)

// newLogger makes the server's log in a format, writing to w. Formats are "text", which people read, "logfmt", "json",
// and "auto": text on a terminal, logfmt elsewhere.
func newLogger(w io.Writer, format string, level slog.Leveler, terminal bool) *slog.Logger {
	switch {
	case format == "json":
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: sanitise}))
	case format == "text", format == "auto" && terminal:
		return slog.New(tint.NewTextHandler(w, &tint.Options{
			Level: level, TimeFormat: "2006-01-02 15:04:05.000", NoColor: !terminal, ReplaceAttr: sanitiseForTint,
		}))
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: sanitise}))
}

// sanitise makes what an attribute says harmless to a terminal and to readers of lines: guests and clients may have
// chosen it. Messages are constants, so they need nothing.
func sanitise(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindString:
		if s := a.Value.String(); !clean(s) {
			a.Value = slog.StringValue(printable(s))
		}
	case slog.KindAny:
		if s := fmt.Sprint(a.Value.Any()); isError(a.Value.Any()) || !clean(s) {
			a.Value = slog.StringValue(printable(s))
		}
	case slog.KindDuration:
		a.Value = slog.StringValue(a.Value.Duration().Round(time.Microsecond).String())
	}
	return a
}

// sanitiseForTint is sanitise for tint, which quotes a value and then turns each \x1b in it into the escape character,
// also where somebody wrote just those four characters.
func sanitiseForTint(groups []string, a slog.Attr) slog.Attr {
	a = sanitise(groups, a)
	if kind := a.Value.Kind(); kind == slog.KindString || kind == slog.KindAny {
		if s := fmt.Sprint(a.Value.Any()); strings.Contains(s, `\x1b`) {
			a.Value = slog.StringValue(strings.ReplaceAll(s, `\x1b`, `\x1B`))
		}
	}
	return a
}

func isError(v any) bool {
	_, ok := v.(error)
	return ok
}

// levelOf returns the level of the log_level setting, which Validate has checked.
func levelOf(cfg *config.Config) slog.Level {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.LogLevel)); err != nil {
		return slog.LevelInfo
	}
	return level
}

// isTerminal reports whether a file is a terminal.
func isTerminal(f *os.File) bool {
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	var ioctlErr error
	err = raw.Control(func(fd uintptr) { _, ioctlErr = unix.IoctlGetTermios(int(fd), unix.TCGETS) })
	return errors.Join(err, ioctlErr) == nil
}
