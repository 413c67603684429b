package dev

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"time"
)

// Record is one record of the server's log, as package log/slog writes it in JSON.
type Record struct {
	Time    time.Time
	Level   slog.Level
	Message string
	// Attrs are the attributes in their order. What others chose is escaped in them already.
	Attrs []slog.Attr
}

// parseRecord reads a line of the log. It is not ok if the line is something else.
func parseRecord(line []byte) (r Record, ok bool) {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.UseNumber()
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return r, false
	}
	for dec.More() {
		key, err := dec.Token()
		name, isString := key.(string)
		if err != nil || !isString {
			return r, false
		}
		var value any
		if err := dec.Decode(&value); err != nil {
			return r, false
		}
		r.set(name, value)
	}
	return r, r.Message != ""
}

func (r *Record) set(name string, value any) {
	text, isString := value.(string)
	switch {
	case name == slog.TimeKey && isString:
		r.Time, _ = time.Parse(time.RFC3339Nano, text) // zero if it is none, which nothing depends on
	case name == slog.LevelKey && isString:
		_ = r.Level.UnmarshalText([]byte(text)) // Info if it is none
	case name == slog.MessageKey && isString:
		r.Message = text
	case isString:
		r.Attrs = append(r.Attrs, slog.String(name, text))
	default:
		r.Attrs = append(r.Attrs, slog.Any(name, value))
	}
}

// text returns the text of an attribute, or "".
func (r *Record) text(key string) string {
	for _, a := range r.Attrs {
		if a.Key == key && a.Value.Kind() == slog.KindString {
			return a.Value.String()
		}
	}
	return ""
}

// unescape gives a text its lines back, which the log has escaped.
func unescape(s string) string {
	return strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\r`, "").Replace(s)
}
