package config

import (
	"encoding/json"
	"math"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "30": 30 * time.Second, "1.5": 1500 * time.Millisecond, ".5": 500 * time.Millisecond,
		"0.1": 100 * time.Millisecond, " 2 ": 2 * time.Second, "500ms": 500 * time.Millisecond, "1m30s": 90 * time.Second,
		"2h": 2 * time.Hour, "1.000000001": time.Second + 1,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", " ", "-1", "-1s", "+1s", "s", "1.2.3", "1e3", "0x10", "inf", "NaN", "30 s", "12 parsecs", "300000000000", ".", "1d",
	} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", text, got)
		}
	}
}

func TestFormatDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 30 * time.Second: "30s", time.Minute: "1m", 90 * time.Second: "1m30s", time.Hour: "1h",
		time.Hour + time.Second: "1h0m1s", 10 * time.Minute: "10m", 100 * time.Hour: "100h", 20 * time.Second: "20s",
	} {
		if got := FormatDuration(d); got != want {
			t.Errorf("FormatDuration(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "1": 1, "65536": 65536, "64KiB": 64 << 10, "64kib": 64 << 10, "10MB": 10e6, "10mb": 10e6, "1g": 1 << 30,
		"1G": 1 << 30, "8k": 8 << 10, "2 MiB": 2 << 20, "512B": 512, "3TB": 3e12, "1t": 1 << 40,
		"9223372036854775807": math.MaxInt64, " 5 ": 5,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "-1", "+1", "1.5g", "k", "10 parsecs", "1kk", "9223372036854775808", "9007199254740992KiB", "99999999999999999999t",
		"0x10", "1_000", "1 0", "KiB64",
	} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", text, got)
		}
	}
}

func TestSizeString(t *testing.T) {
	for n, want := range map[Size]string{
		0: "0", 1: "1", 1000: "1KB", 1024: "1KiB", 10e6: "10MB", 128 << 20: "128MiB", 1 << 40: "1TiB", 1536 << 20: "1536MiB",
		math.MaxInt64: "9223372036854775807", 1025: "1025",
	} {
		if got := n.String(); got != want {
			t.Errorf("Size(%d) = %q, want %q", int64(n), got, want)
		}
	}
}

func TestParseFileMode(t *testing.T) {
	for text, want := range map[string]FileMode{
		"0660": 0o660, "660": 0o660, "0o660": 0o660, "0": 0, "7": 7, "0022": 0o22, "777": 0o777, "0777": 0o777, "00000777": 0o777,
	} {
		if got, err := ParseFileMode(text); err != nil || got != want {
			t.Errorf("ParseFileMode(%q) = %o, %v, want %o", text, got, err, want)
		}
	}
	for _, text := range []string{"", "8", "0680", "1777", "-1", "+7", "0x1ff", "rw-r--r--", "0o", "0o0o7", "6_60"} {
		if got, err := ParseFileMode(text); err == nil {
			t.Errorf("ParseFileMode(%q) = %o, want an error", text, got)
		}
	}
	if got := FileMode(0o22).String(); got != "0022" {
		t.Errorf("FileMode(0o22) = %q", got)
	}
}

func TestUnitsRefuseBadText(t *testing.T) {
	var v struct {
		S Size
		M FileMode
	}
	for _, text := range []string{`{"S":"1x"}`, `{"M":"9"}`, `{"S":5}`, `{"M":18}`} {
		if err := json.Unmarshal([]byte(text), &v); err == nil {
			t.Errorf("%s decodes to %v, want an error", text, v)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	for _, s := range []string{"64KiB", "10MB", "1g", "0", "9223372036854775807", "1.5", "", "1 t"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseSize(s)
		if err != nil {
			return
		}
		if again, err := ParseSize(n.String()); n < 0 || err != nil || again != n {
			t.Errorf("%q is %d is %q is %d, %v", s, n, n, again, err)
		}
	})
}

func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"30", "1.5", "500ms", "1m30s", "-1", "1h0m", "", ".", "9223372036s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDuration(s)
		if err != nil {
			return
		}
		if again, err := ParseDuration(FormatDuration(d)); d < 0 || err != nil || again != d {
			t.Errorf("%q is %v is %q is %v, %v", s, d, FormatDuration(d), again, err)
		}
	})
}

func FuzzParseFileMode(f *testing.F) {
	for _, s := range []string{"0660", "660", "0o660", "8", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseFileMode(s)
		if err != nil {
			return
		}
		if again, err := ParseFileMode(m.String()); err != nil || again != m || m > 0o777 {
			t.Errorf("%q is %v is %v, %v", s, m, again, err)
		}
	})
}
