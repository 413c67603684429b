package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// TOML returns the setting's value in c as it is written in a TOML file. Reading it gives the same value.
func (s Setting) TOML(c *Config) string { return s.toml(c) }

func (s Setting) toml(root any) string {
	switch v := s.get(root).(type) {
	case int:
		return strconv.Itoa(v)
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case time.Duration:
		return tomlString(FormatDuration(v))
	case []string:
		items := make([]string, len(v))
		for i, text := range v {
			items[i] = tomlString(text)
		}
		return "[" + strings.Join(items, ", ") + "]"
	case string:
		return tomlString(v)
	default:
		return tomlString(fmt.Sprint(v))
	}
}

// tomlString writes a basic string of TOML. Everything that could end the line or drive a terminal is escaped.
func tomlString(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case strconv.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08X`, r)
		default:
			fmt.Fprintf(&b, `\u%04X`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// TOML returns c as a TOML file that gives c again. Note returns the comment for a setting, or "".
func (c *Config) TOML(note func(key string) string) string {
	var b strings.Builder
	table := ""
	for _, s := range Settings() {
		if t := s.table(); t != table {
			table = t
			fmt.Fprintf(&b, "\n[%s]\n", table)
		}
		fmt.Fprintf(&b, "%s = %s", s.leaf(), s.TOML(c))
		if text := note(s.Key); text != "" {
			fmt.Fprintf(&b, " # %s", strings.Trim(tomlString(text), `"`))
		}
		b.WriteByte('\n')
	}
	for _, l := range Arrays() {
		l.toml(&b, c, note(l.Key))
	}
	return b.String()
}

// table returns the name of the TOML table the setting is in, or "" for the top.
func (s Setting) table() string {
	name, _, ok := strings.Cut(s.Key, ".")
	if !ok {
		return ""
	}
	return name
}
