package engine

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestLineWriter(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	for _, test := range []struct {
		name   string
		writes []string
		lines  []string
	}{
		{"nothing", nil, nil},
		{"one line in pieces", []string{"a", "b\nc"}, []string{"ab", "c"}},
		{"several at once", []string{"a\nb\r\n\nc\n"}, []string{"a", "b", "", "c"}},
		{"bytes as they are", []string{"\x1b[2J\xff\rx\n"}, []string{"\x1b[2J\xff\rx"}},
		{"a line as long as may be", []string{long + "\n"}, []string{long}},
		{"a longer one", []string{long + "yz\n"}, []string{long, "yz"}},
		{"longer in pieces", []string{long, "y", "z"}, []string{long, "yz"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			w := NewLineWriter(func(line string) { got = append(got, line) })
			for _, s := range test.writes {
				if n, err := w.Write([]byte(s)); n != len(s) || err != nil {
					t.Errorf("write returned %d, %v", n, err)
				}
			}
			w.Flush()
			w.Flush()
			if !slices.Equal(got, test.lines) {
				t.Errorf("got %q, want %q", got, test.lines)
			}
		})
	}
}

// TestWASIWorld looks at what an instance sees: its streams and environment, the real time, true randomness.
func TestWASIWorld(t *testing.T) {
	m, _ := compileGuest(t, Options{})
	t.Setenv("TOP_SECRET", "of the host")
	var out bytes.Buffer
	i := instantiate(t, m, Spec{Env: []string{"A=1", "B=x=y"}, Stdin: strings.NewReader("input"), Stdout: &out})
	mem := i.Memory()

	if errno := call(t, i, "environ_sizes", 0, 4); errno != 0 {
		t.Errorf("environ_sizes_get: errno %d", errno)
	}
	count, _ := mem.ReadUint32Le(0)
	size, _ := mem.ReadUint32Le(4)
	if count != 2 || size != uint32(len("A=1\x00B=x=y\x00")) {
		t.Errorf("there are %d variables of %d bytes", count, size)
	}
	if errno := call(t, i, "environ", 0, 100); errno != 0 {
		t.Errorf("environ_get: errno %d", errno)
	}
	second, _ := mem.ReadUint32Le(4)
	if text, _ := mem.Read(100, size); string(text) != "A=1\x00B=x=y\x00" || second != 104 {
		t.Errorf("the environment is %q, the second variable at %d", text, second)
	}
	if errno := call(t, i, "environ", 0, pageSize-1); errno != errnoFault {
		t.Errorf("environ_get to the end of memory: errno %d", errno)
	}

	mem.WriteUint32Le(0, 1000)
	mem.WriteUint32Le(4, 5)
	if errno := call(t, i, "read", 0, 0, 1, 8); errno != 0 {
		t.Errorf("fd_read: errno %d", errno)
	}
	if errno := call(t, i, "write", 1, 0, 1, 8); errno != 0 || out.String() != "input" {
		t.Errorf("fd_write: errno %d, wrote %q", errno, out.String())
	}
	if errno := call(t, i, "write", 2, 0, 1, 8); errno != 0 {
		t.Errorf("fd_write to the discarded stderr: errno %d", errno)
	}

	call(t, i, "clock", 0, 1, 0)
	if ns, _ := mem.ReadUint64Le(0); time.Since(time.Unix(0, int64(ns))).Abs() > time.Minute {
		t.Errorf("the guest's clock says %v", time.Unix(0, int64(ns)))
	}
	call(t, i, "random", 2000, 32)
	a, _ := mem.Read(2000, 32)
	other := instantiate(t, m, Spec{})
	call(t, other, "random", 2000, 32)
	b, _ := other.Memory().Read(2000, 32)
	if bytes.Equal(a, b) {
		t.Error("two instances got the same random bytes")
	}
}

func TestSleep(t *testing.T) {
	m, _ := compileGuest(t, Options{})
	slept := 0
	i := instantiate(t, m, Spec{OnSleep: func() { slept++ }})
	start := time.Now()
	call(t, i, "sleep", uint64(10*time.Millisecond))
	if took := time.Since(start); took < 10*time.Millisecond {
		t.Errorf("10 ms took %v", took)
	}
	call(t, i, "sleep", uint64(time.Millisecond))
	call(t, i, "sleep", 0)
	if slept != 1 {
		t.Errorf("OnSleep was called %d times", slept)
	}
}

func TestSpecWithNUL(t *testing.T) {
	m, _ := compileGuest(t, Options{})
	for _, s := range []Spec{{Env: []string{"A=\x00"}}, {Args: []string{"a", "b\x00"}}} {
		var trap *Trap
		if _, err := m.Instantiate(t.Context(), s); !errors.As(err, &trap) || !strings.Contains(err.Error(), "NUL") {
			t.Errorf("%+v: %v", s, err)
		}
	}
}
