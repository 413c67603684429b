package engine

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/appserver-go/appserver/internal/fault"
)

// Parts of the binary format.
const (
	sectionType   = 1
	sectionImport = 2
	sectionTable  = 4
	sectionMemory = 5
	sectionTag    = 13
	formFunc      = 0x60
	formStruct    = 0x5f
)

// module assembles a module of raw sections.
func module(sections ...[]byte) []byte { return slices.Concat(magic, slices.Concat(sections...)) }

// section makes a section of fewer than 128 bytes.
func section(id byte, body ...byte) []byte { return append([]byte{id, byte(len(body))}, body...) }

func TestCompileRefuses(t *testing.T) {
	e := newEngine(t, Options{MemoryLimit: 16 * pageSize, TableLimit: 1000})
	oneType := section(sectionType, 1, formFunc, 0, 0)
	for _, test := range []struct {
		name      string
		wasm      []byte
		err, hint string
	}{
		{"empty", nil, `no WebAssembly module: it begins with ""`, "wasip1"},
		{"text", []byte("#!/bin/sh\n"), `no WebAssembly module: it begins with "#!/bin/s"`, "wasip1"},
		{"component", []byte("\x00asm\x0d\x00\x01\x00"), "component", "wasip1"},
		{"version", []byte("\x00asm\x02\x00\x00\x00"), "unknown version", "version 1"},
		{"cut in the head", magic[:6], "cut short", "half copied"},
		{"cut", guestWasm[:len(guestWasm)/2], "cut short", "half copied"},
		{"memory over the limit", module(section(sectionMemory, 1, 0, 17)), "1114112 bytes of memory to start, more than the memory limit of 1048576", "1088KiB"},
		{"memory64", module(section(sectionMemory, 1, 4, 1)), "memory64", "wasm32"},
		{"shared memory", module(section(sectionMemory, 1, 3, 1, 2)), "threads", "-pthread"},
		{"two memories", module(section(sectionMemory, 2, 0, 1, 0, 1)), "multi-memory", "one memory"},
		{"many memories", module(section(sectionMemory, 0xff, 0xff, 0xff, 0xff, 0x0f, 0)), "cut short", ""},
		{"garbage-collected types", module(section(sectionType, 1, formStruct, 0)), "garbage-collected", "Kotlin"},
		{"types without end", module(section(sectionType, 1, formFunc, 0xff, 0xff, 0xff, 0xff, 0x0f)), "cut short", ""},
		{"exceptions", module(oneType, section(sectionTag, 1, 0, 0)), "exception handling", "-fno-exceptions"},
		{"table over the limit", module(section(sectionTable, 1, 0x70, 0, 0xe9, 0x07)), "starts with 1001 elements, more than the table limit of 1000", "--guest-table-limit"},
		{"many tables", module(section(sectionTable, append([]byte{17}, bytes.Repeat([]byte{0x70, 0, 1}, 17)...)...)), "17 tables", ""},
		{"imported table", module(section(sectionImport, 1, 1, 'e', 1, 't', 1, 0x70, 0, 1)), `imports the table "t" from "e"`, "--import-table"},
		{"imported memory", module(section(sectionImport, 1, 1, 'e', 1, 'm', 2, 0, 1)), `imports the memory "m" from "e"`, "--import-memory"},
		{"imported global", module(section(sectionImport, 1, 1, 'e', 1, 'g', 3, 0x7f, 0)), `imports the global "g" from "e"`, "JavaScript"},
		{"section twice", module(section(sectionTable, 1, 0x70, 0, 1), section(sectionTable, 1, 0x70, 0, 1)), "occurs twice", ""},
		{"unknown section", module(section(77)), "section id 77", ""},
		{"bytes left over", module(section(sectionMemory, 1, 0, 1, 0)), "1 bytes are left over", ""},
		{"number too large", module(section(sectionMemory, 1, 0, 0xff, 0xff, 0xff, 0xff, 0x1f)), "too large", ""},
		{"invalid code", module(oneType, section(3, 1, 0), section(10, 1, 3, 0, 0x6a, 0x0b)), "invalid", ""},
		{"atomics", module(oneType, section(3, 1, 0), section(10, 1, 5, 0, 0xfe, 3, 0, 0x0b)), "threads", "-pthread"},
		{"legacy exceptions", module(oneType, section(3, 1, 0), section(10, 1, 6, 0, 6, 0x40, 0x19, 0x0b, 0x0b)), "exception handling", "-fno-exceptions"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := e.Compile(t.Context(), test.wasm)
			if fault.Code(err) != fault.LoadFailed {
				t.Fatalf("got %v, with code %d", err, fault.Code(err))
			}
			if !strings.Contains(err.Error(), test.err) || strings.Contains(err.Error(), "\n") {
				t.Errorf("the message is %q, want %q in it", err, test.err)
			}
			if !strings.Contains(fault.Hint(err), test.hint) {
				t.Errorf("the hint is %q, want %q in it", fault.Hint(err), test.hint)
			}
		})
	}
}

func TestModuleDescribes(t *testing.T) {
	m, _ := compileGuest(t, Options{MemoryLimit: 8 * pageSize})
	if got := m.Imports()[0]; got.Module != "wasi_snapshot_preview1" || got.Name != "poll_oneoff" ||
		Signature(got.Params, got.Results) != "(i32,i32,i32,i32)->(i32)" {
		t.Errorf("the first import is %+v", got)
	}
	if got := m.Exports()[0]; got.Name != "memory" || got.Kind != KindMemory {
		t.Errorf("the first export is %+v", got)
	}
	got, ok := m.Export("recurse")
	if !ok || got.Kind != KindFunc || Signature(got.Params, got.Results) != "(i64)->(i64)" {
		t.Errorf("recurse is %+v, %v", got, ok)
	}
	if _, ok := m.Export("nothing"); ok {
		t.Error("there is an export nothing")
	}
	if mem, ok := m.Memory(); !ok || mem != (MemoryLimits{1, 8}) {
		t.Errorf("the memory is %v, %v", mem, ok)
	}
	if m.Size() != len(guestWasm) || m.CompileTime() <= 0 {
		t.Errorf("size %d, compile time %v", m.Size(), m.CompileTime())
	}
}

func TestMissingImports(t *testing.T) {
	e := newEngine(t, Options{})
	wasm := module(section(sectionType, 1, formFunc, 0, 0),
		section(sectionImport, 3,
			3, 'e', 'n', 'v', 1, 'a', 0, 0,
			3, 'e', 'n', 'v', 1, 'b', 0, 0,
			22, 'w', 'a', 's', 'i', '_', 's', 'n', 'a', 'p', 's', 'h', 'o', 't', '_', 'p', 'r', 'e', 'v', 'i', 'e', 'w', '1',
			9, 'p', 'r', 'o', 'c', '_', 'e', 'x', 'i', 't', 0, 0))
	m, err := e.Compile(t.Context(), wasm)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, err = m.Instantiate(t.Context(), Spec{})
		want := "env.a ()->(); env.b ()->(); wasi_snapshot_preview1.proc_exit ()->(), which the host has as (i32)->()"
		if fault.Code(err) != fault.LoadFailed || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v", err)
		}
	}
}

func TestCacheDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "cache")
	e := newEngine(t, Options{CacheDir: dir})
	if _, err := e.Compile(t.Context(), filesWasm); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory is %v, %v", info, err)
	}
	var files int
	filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files++
		}
		return err
	})
	if files == 0 {
		t.Error("nothing was cached")
	}
	if err := os.Chmod(dir, 0o770); err != nil {
		t.Fatal(err)
	}
	_, err = New(t.Context(), Options{CacheDir: dir})
	var f *fault.Error
	if !errors.As(err, &f) || !strings.Contains(err.Error(), "can be written to by others (mode 0770)") || !strings.Contains(f.Hint, "chmod 700") {
		t.Errorf("a directory others can write to: %v", err)
	}
	if _, err := New(t.Context(), Options{CacheDir: "/dev/null/x"}); fault.Hint(err) == "" {
		t.Errorf("no directory at all: %v", err)
	}
	if os.Geteuid() == 0 {
		if err := errors.Join(os.Chmod(dir, 0o700), os.Chown(dir, 65534, 65534)); err != nil {
			t.Fatal(err)
		}
		if _, err := New(t.Context(), Options{CacheDir: dir}); err == nil || !strings.Contains(err.Error(), "another user") {
			t.Errorf("a directory of another user: %v", err)
		}
	}
}

// TestBrokenCache proves that a cache that cannot be used does not keep a guest from running.
func TestBrokenCache(t *testing.T) {
	for _, test := range []struct {
		name    string
		destroy func(dir string)
	}{
		{"damaged file", func(dir string) {
			filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
				if err == nil && d.Type().IsRegular() {
					err = os.Truncate(path, 100)
				}
				return err
			})
		}},
		{"directory gone", func(dir string) { os.RemoveAll(dir) }},
	} {
		dir := t.TempDir()
		if _, err := newEngine(t, Options{CacheDir: dir}).Compile(t.Context(), filesWasm); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		o := Options{CacheDir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))}
		e, used := newEngine(t, o), newEngine(t, o)
		test.destroy(dir)
		m, err := e.Compile(t.Context(), filesWasm)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		instantiate(t, m, Spec{})
		if !strings.Contains(log.String(), "Cache of compiled code not used") {
			t.Errorf("%s: the log is %q", test.name, log.String())
		}
		used.HostModule("taken")
		if _, err := used.Compile(t.Context(), filesWasm); fault.Code(err) != fault.LoadFailed || !strings.Contains(fault.Hint(err), "cache_dir") {
			t.Errorf("%s, with host functions: %v", test.name, err)
		}
	}
}
