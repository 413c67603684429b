package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func uleb(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }

func wasmSection(id byte, parts ...[]byte) []byte {
	body := slices.Concat(parts...)
	return slices.Concat([]byte{id}, uleb(len(body)), body)
}

// manyFunctions is a command module of n functions with the same body, its locals included; more are further sections
// that come before the code.
func manyFunctions(n int, body []byte, more ...[]byte) []byte {
	return slices.Concat([]byte("\x00asm\x01\x00\x00\x00"), wasmSection(1, []byte{1, 0x60, 0, 0}), wasmSection(3, uleb(n), make([]byte, n)),
		slices.Concat(more...), wasmSection(10, uleb(n), bytes.Repeat(append(uleb(len(body)), body...), n)))
}

// TestBadGuests loads what is no guest, or too much of one: whatever it is, the process ends within boot_timeout and a
// little, with one line that says what is wrong and one that says what to do, in memory that is a small multiple of the file's.
func TestBadGuests(t *testing.T) {
	scale := 1
	if os.Getenv("TORTURE") != "" {
		scale = 10 // 100 MB, and a million functions
	}
	start, loop, straight := wasmSection(7, []byte("\x01\x06_start\x00\x00")), []byte{0, 3, 0x40, 0x0c, 0, 0x0b, 0x0b}, bytes.Repeat([]byte{0x41, 0, 0x1a}, 32)
	whole := manyFunctions(1, []byte{0, 0x0b}, start)
	for name, test := range map[string]struct {
		wasm      []byte
		err, hint string
		code      int
		mayServe  bool // it is within all bounds, if it is loaded in time
	}{
		"truncated":            {whole[:len(whole)-3], "cut short", "half copied", 4, false},
		"4 GiB of memory":      {manyFunctions(1, []byte{0, 0x0b}, wasmSection(5, []byte{1, 0}, uleb(65536)), start), "4294967296 bytes of memory", "guest.memory_limit", 4, false},
		"memory64":             {manyFunctions(1, []byte{0, 0x0b}, wasmSection(5, []byte{1, 4, 1}), start), "memory64", "wasm32", 4, false},
		"threads":              {manyFunctions(1, []byte{0, 0x0b}, wasmSection(5, []byte{1, 3, 1, 1}), start), "threads", "-pthread", 4, false},
		"multi-memory":         {manyFunctions(1, []byte{0, 0x0b}, wasmSection(5, []byte{2, 0, 1, 0, 1}), start), "multi-memory", "one memory", 4, false},
		"garbage collection":   {[]byte("\x00asm\x01\x00\x00\x00\x01\x03\x01\x5f\x00"), "garbage-collected", "Kotlin", 4, false},
		"exceptions":           {manyFunctions(1, []byte{0, 6, 0x40, 0x0b, 0x0b}, start), "exception handling", "-fno-exceptions", 4, false},
		"empty component":      {[]byte("\x00asm\x0d\x00\x01\x00"), "wasi:http/incoming-handler", "wasi:http/proxy", 4, false},
		"more loops than code": {manyFunctions(1, slices.Concat([]byte{0}, bytes.Repeat([]byte{3, 0x40, 0x0b}, 400_000), []byte{0x0b}), start), "too many loops", "", 4, false},
		"a start that loops":   {manyFunctions(1, loop, start, wasmSection(8, []byte{0})), "boot_timeout", "raise boot_timeout", 4, false},
		"nested too deep":      {manyFunctions(1, slices.Concat([]byte{0}, bytes.Repeat([]byte{2, 0x40}, 100_000), bytes.Repeat([]byte{0x0b}, 100_001)), start), "boot_timeout", "raise boot_timeout", 4, true},
		"50,000 locals":        {manyFunctions(100, slices.Concat([]byte{1}, uleb(50_000), []byte{0x7e, 0x0b}), start), "boot_timeout", "raise boot_timeout", 4, true},
		"many functions":       {manyFunctions(100_000*scale, []byte{0, 0x0b}, start), "boot_timeout", "raise boot_timeout", 4, true},
		"a huge file":          {manyFunctions(100_000*scale, slices.Concat([]byte{0}, straight, []byte{0x0b}), start), "boot_timeout", "raise boot_timeout", 4, true},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "guest.wasm")
			if err := os.WriteFile(path, test.wasm, 0o600); err != nil {
				t.Fatal(err)
			}
			args := []string{path, "--boot-timeout", "2", "--guest-cache-dir", t.TempDir()}
			check := command(append([]string{"check"}, args...)...)
			said := endsBadly(t, check, 1, test.err, test.hint, test.mayServe)
			if said == "" || test.mayServe {
				return // it is a guest, or takes its time
			}
			serve := command(append([]string{"serve", "--bind", "127.0.0.1:0", "-w", "1"}, args...)...)
			endsBadly(t, serve, test.code, test.err, test.hint, false)
		})
	}
}

// endsBadly runs a command that is to fail with the exit code and say so in one line and a hint. If it may succeed as
// well and does, the result is "".
func endsBadly(t *testing.T, cmd *exec.Cmd, code int, text, hint string, mayServe bool) string {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	begin := time.Now()
	err := cmd.Run()
	took := time.Since(begin)
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage) // the most that it or one of its workers had
	if size := usage.Maxrss << 10; size > raceFactor*800<<20 {
		t.Errorf("it took %d MiB", size>>20)
	}
	if took > raceFactor*20*time.Second { // 2 s to boot, and what a busy machine adds
		t.Errorf("it took %v", took)
	}
	if err == nil && mayServe {
		return ""
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != code {
		t.Errorf("%v: %v, want exit code %d", cmd.Args[1:2], err, code)
	}
	for _, want := range []string{"error: ", text, hint} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%v does not say %q:\n%.2000s", cmd.Args[1:2], want, out.String())
		}
	}
	return out.String()
}
