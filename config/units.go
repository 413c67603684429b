package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes. In files, flags and the environment it is a number with an optional unit: "64KiB",
// "10MB", "1g".
type Size int64

// unit is a suffix of a size. The order is that in which Size.String tries them.
type unit struct {
	name  string
	bytes int64
}

func sizeUnits() []unit {
	return []unit{
		{"TiB", 1 << 40},
		{"TB", 1e12},
		{"GiB", 1 << 30},
		{"GB", 1e9},
		{"MiB", 1 << 20},
		{"MB", 1e6},
		{"KiB", 1 << 10},
		{"KB", 1e3},
	}
}

// ParseSize reads a number of bytes. Units ignore case: KB, MB, GB and TB count in thousands, KiB, MiB, GiB and TiB in
// 1024s, and so do the single letters K, M, G and T, as in nginx. Fractions, signs and sizes over the largest int64
// are errors.
func ParseSize(s string) (Size, error) {
	text := strings.TrimSpace(s)
	digits := 0
	for digits < len(text) && text[digits] >= '0' && text[digits] <= '9' {
		digits++
	}
	if digits == 0 {
		return 0, fmt.Errorf("%q is not a number of bytes", clip(s))
	}
	scale, ok := sizeScale(strings.TrimSpace(text[digits:]))
	if !ok {
		return 0, fmt.Errorf("%q is not a number of bytes: unknown unit %q", clip(s), clip(text[digits:]))
	}
	n, err := strconv.ParseInt(text[:digits], 10, 64)
	if err != nil || n > math.MaxInt64/scale {
		return 0, fmt.Errorf("%q is too large", clip(s))
	}
	return Size(n * scale), nil
}

func sizeScale(name string) (int64, bool) {
	if name == "" || strings.EqualFold(name, "B") {
		return 1, true
	}
	for _, u := range sizeUnits() {
		letter := len(name) == 1 && u.name[1] == 'i' && strings.EqualFold(name, u.name[:1])
		if letter || strings.EqualFold(name, u.name) {
			return u.bytes, true
		}
	}
	return 0, false
}

// String returns s with the largest unit that divides it, so that ParseSize gives s again.
func (s Size) String() string {
	for _, u := range sizeUnits() {
		if s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// MarshalText returns String.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is ParseSize.
func (s *Size) UnmarshalText(text []byte) error {
	n, err := ParseSize(string(text))
	if err != nil {
		return err
	}
	*s = n
	return nil
}

// FileMode is permission bits. In files, flags and the environment it is octal: "0660", "660", "0o660".
type FileMode uint32

// maxMode is all permission bits. Set-uid, set-gid and sticky bits mean nothing for what appserver creates.
const maxMode = 0o777

// ParseFileMode reads permission bits, always as octal digits.
func ParseFileMode(s string) (FileMode, error) {
	digits := strings.TrimSpace(s)
	if rest, ok := strings.CutPrefix(digits, "0o"); ok && rest != "" {
		digits = rest
	}
	n, err := strconv.ParseUint(digits, 8, 32)
	if err != nil || n > maxMode {
		return 0, fmt.Errorf("%q is not an octal file mode from 0 to 0777", clip(s))
	}
	return FileMode(n), nil
}

// String returns m as four octal digits, like "0660".
func (m FileMode) String() string { return fmt.Sprintf("%04o", uint32(m)) }

// MarshalText returns String.
func (m FileMode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText is ParseFileMode.
func (m *FileMode) UnmarshalText(text []byte) error {
	n, err := ParseFileMode(string(text))
	if err != nil {
		return err
	}
	*m = n
	return nil
}

var errNegative = errors.New("a time may not be negative")

// ParseBool reads a truth value: true, yes, on or 1, or false, no, off or 0, in any case of letters.
func ParseBool(text string) (bool, error) {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "true", "yes", "on", "1":
		return true, nil
	case "false", "no", "off", "0":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither true nor false", clip(text))
}

// ParseDuration reads a span of time: a bare number is seconds ("30", "1.5"), anything else is Go's syntax ("500ms",
// "1m30s"). Negative spans and those over 292 years are errors.
func ParseDuration(s string) (time.Duration, error) {
	text := strings.TrimSpace(s)
	bare := text != ""
	for _, c := range text {
		bare = bare && (c >= '0' && c <= '9' || c == '.')
	}
	if strings.HasPrefix(text, "-") {
		return 0, errNegative
	}
	if bare {
		text += "s" // time.ParseDuration is exact where a float of seconds is not
	}
	d, err := time.ParseDuration(text)
	if err != nil || text == "" || text[0] == '+' {
		return 0, fmt.Errorf("%q is not a time", clip(s))
	}
	return d, nil
}

// FormatDuration returns d as ParseDuration reads it, without the zero units that time.Duration prints: "1m" and not
// "1m0s".
func FormatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// clip shortens what a user typed for an error message.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}
