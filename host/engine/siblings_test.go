package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tetratelabs/wazero/api"
)

// family is what the engines of a test share, in place of an arbiter.
type family struct {
	t     *testing.T
	files map[string]*os.File
	log   logBuffer
}

type logBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func newFamily(t *testing.T) *family { return &family{t: t, files: map[string]*os.File{}} }

// options are those of an engine of the family.
func (f *family) options() Options {
	return Options{
		Interrupt: InterruptFuel, Reset: true, VerifyReset: true, ShareCode: true, Log: slog.New(slog.NewTextHandler(&f.log, nil)),
		Siblings: Siblings{
			Inherit: func(name string) *os.File { return f.files[name] },
			Offer: func(name string, file *os.File) {
				if f.files[name] != nil {
					return
				}
				if err := withFD(file, func(fd int) error {
					dup, err := unix.Dup(fd)
					f.put(name, dup)
					return err
				}); err != nil {
					f.t.Error(err)
				}
			},
		},
	}
}

func (f *family) put(name string, fd int) {
	file := os.NewFile(uintptr(fd), name)
	f.files[name] = file
	f.t.Cleanup(func() { file.Close() })
}

// warned returns whether something could not be used, and why, and forgets it.
func (f *family) warned() string {
	f.log.mu.Lock()
	defer f.log.mu.Unlock()
	defer f.log.Reset()
	return f.log.String()
}

// compile compiles a module that may import test.host in a new engine.
func (f *family) compile(wasm []byte, change func(*Options)) *Module {
	f.t.Helper()
	o := f.options()
	if change != nil {
		change(&o)
	}
	e := newEngine(f.t, o)
	_, err := e.HostModule("test").NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(func(context.Context, api.Module, []uint64) {}), []api.ValueType{api.ValueTypeI32}, nil).
		Export("host").Instantiate(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	m, err := e.Compile(f.t.Context(), wasm)
	if err != nil {
		f.t.Fatal(err)
	}
	return m
}

// largeWasm returns a module large enough for sharing: 300 functions that multiply and mix their parameter. The last is
// exported as f.
func largeWasm() []byte {
	section := func(id byte, body []byte) []byte {
		return append(binary.AppendUvarint([]byte{id}, uint64(len(body))), body...)
	}
	const count = 300
	types := []byte{1, 0x60, 1, 0x7f, 1, 0x7f}
	funcs := binary.AppendUvarint(nil, count)
	code := binary.AppendUvarint(nil, count)
	for n := range count {
		funcs = append(funcs, 0)
		body := []byte{0, 0x20, 0}
		for k := range 60 {
			body = append(body, 0x41, byte((n+k)%63), 0x6c, 0x20, 0, 0x73) // i32.const; i32.mul; local.get 0; i32.xor
		}
		body = append(body, 0x0b)
		code = append(binary.AppendUvarint(code, uint64(len(body))), body...)
	}
	export := binary.AppendUvarint([]byte{1, 1, 'f', 0}, count-1)
	wasm := bytes.Clone(magic)
	for _, s := range [][]byte{section(1, types), section(3, funcs), section(7, export), section(10, code)} {
		wasm = append(wasm, s...)
	}
	return wasm
}

// sharesCode reports whether the code of a module is in a file that workers share, and can be executed there.
func sharesCode(t *testing.T, m *Module) bool {
	t.Helper()
	c, ok := findCode(m.compiled)
	b, err := os.ReadFile("/proc/self/maps")
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	for line := range strings.Lines(string(b)) {
		var from, to uintptr
		var permissions string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &permissions); err != nil {
			t.Fatal(err)
		}
		if from <= c.start && c.start < to {
			return permissions == "r-xp" && strings.Contains(line, "memfd:appserver-code")
		}
	}
	return false
}

// TestSiblingsShareModuleAndCode compiles a module in two engines, the second of which uses what the first has made.
func TestSiblingsShareModuleAndCode(t *testing.T) {
	f, wasm := newFamily(t), largeWasm()
	first := f.compile(wasm, nil)
	want := call(t, instantiate(t, first, Spec{}), "f", 7)
	if f.files[sharedModule] == nil || f.files[sharedCode] == nil {
		t.Fatalf("offered: %v; %s", f.files, f.warned())
	}
	second := f.compile(wasm, nil)
	if got := call(t, instantiate(t, second, Spec{}), "f", 7); got != want {
		t.Errorf("f returned %d and %d", want, got)
	}
	if text := f.warned(); text != "" {
		t.Error(text)
	}
	if !sharesCode(t, first) || !sharesCode(t, second) {
		t.Error("the code of the engines is not shared")
	}
	if len(second.engine.mapped) != 1 {
		t.Errorf("the second engine maps %d modules", len(second.engine.mapped))
	}
}

// TestSiblingsWithoutShareCode leaves the code where it is unless it is asked for.
func TestSiblingsWithoutShareCode(t *testing.T) {
	f := newFamily(t)
	if m := f.compile(largeWasm(), func(o *Options) { o.ShareCode = false }); f.files[sharedCode] != nil || sharesCode(t, m) {
		t.Error("the code is shared")
	}
}

// TestSiblingsDistrust has another worker offer what is of no use, or meant to do harm: a warning says so, and the module
// is compiled as if there were nothing.
func TestSiblingsDistrust(t *testing.T) {
	wasm := largeWasm()
	for name, test := range map[string]struct {
		which string
		spoil func(t *testing.T, m *Module, whole []byte) (fd int)
		want  string
	}{
		"code that differs": {sharedCode, func(t *testing.T, m *Module, code []byte) int {
			code[len(code)/2] ^= 1
			return mustSeal(t, &sealed{name: sharedCode, key: m.key}, code)
		}, "another worker's differs"},
		"code that is shorter": {sharedCode, func(t *testing.T, m *Module, code []byte) int {
			return mustSeal(t, &sealed{name: sharedCode, key: m.key}, code[:len(code)-osPage])
		}, "bytes of it"},
		"code under another name": {sharedCode, func(t *testing.T, m *Module, code []byte) int {
			return mustSeal(t, &sealed{name: sharedModule, key: m.key}, code)
		}, "another version, guest or configuration"},
		"another module": {sharedModule, func(t *testing.T, m *Module, code []byte) int {
			return mustSeal(t, &sealed{name: sharedModule, key: m.key}, swapLast(code, 0x6c, 0x6a)) // add for mul
		}, "not what the module is rewritten to"},
		"no module": {sharedModule, func(t *testing.T, m *Module, _ []byte) int {
			return mustSeal(t, &sealed{name: sharedModule, key: m.key}, []byte("nonsense"))
		}, "module is invalid"},
		"an empty module": {sharedModule, func(t *testing.T, m *Module, _ []byte) int {
			return mustSeal(t, &sealed{name: sharedModule, key: m.key}, nil)
		}, "empty"},
		"a module for other settings": {sharedModule, func(t *testing.T, m *Module, code []byte) int {
			m.key[0]++
			return mustSeal(t, &sealed{name: sharedModule, key: m.key}, code)
		}, "another version, guest or configuration"},
		"a file that can be written to": {sharedModule, func(t *testing.T, _ *Module, code []byte) int {
			fd, err := unix.MemfdCreate("open", unix.MFD_ALLOW_SEALING)
			if err := errors.Join(err, pwrite(fd, code, 0)); err != nil {
				t.Fatal(err)
			}
			return fd
		}, "not sealed"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFamily(t)
			m := f.compile(wasm, nil)
			want := call(t, instantiate(t, m, Spec{}), "f", 7)
			if text := f.warned(); text != "" {
				t.Fatal(text)
			}
			f.put(test.which, test.spoil(t, &Module{key: m.key}, content(t, f.files[test.which], m)))
			if got := call(t, instantiate(t, f.compile(wasm, nil), Spec{}), "f", 7); got != want {
				t.Errorf("f returned %d, want %d", got, want)
			}
			if text := f.warned(); !strings.Contains(text, test.want) {
				t.Errorf("the log has %q, want %q", text, test.want)
			}
		})
	}
}

// swapLast replaces the last byte that is one thing by another.
func swapLast(b []byte, from, to byte) []byte {
	b[bytes.LastIndexByte(b, from)] = to
	return b
}

func mustSeal(t *testing.T, s *sealed, b []byte) (fd int) {
	t.Helper()
	fd, err := seal(s, b)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// content reads the content of a sealed file of the module.
func content(t *testing.T, f *os.File, m *Module) (b []byte) {
	t.Helper()
	if err := withFD(f, func(fd int) error {
		s, err := unseal(fd, f.Name(), m.key)
		if err != nil {
			return err
		}
		b = make([]byte, s.size)
		_, err = f.ReadAt(b, 0)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestInheritImage adopts an image that another engine has made: no function runs, and the instance is the same, to the
// byte, and can be reset.
func TestInheritImage(t *testing.T) {
	f := newFamily(t)
	m := f.compile(resetWasm, nil)
	first := instantiate(t, m, Spec{Start: []string{"init"}})
	img, err := first.Capture(m, 42)
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	img.Offer()
	second := f.compile(resetWasm, nil)
	inherited, err := second.InheritImage()
	if err != nil || inherited == nil {
		t.Fatalf("%v, %v", inherited, err)
	}
	defer inherited.Close()
	i, err := inherited.Adopt(t.Context(), Spec{})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	if inherited.Note() != 42 || inherited.Size() != img.Size() || !bytes.Equal(view(t, i), view(t, first)) {
		t.Errorf("the image has %d bytes and the note %d", inherited.Size(), inherited.Note())
	}
	if got := call(t, i, "count"); got != 11 {
		t.Errorf("count is %d", got)
	}
	call(t, i, "fill", 0, 3, 5*pageSize)
	if err := i.Reset(); err != nil || !bytes.Equal(view(t, i), view(t, first)) && call(t, first, "count") == 11 {
		t.Errorf("after a reset: %v", err)
	}
}

// TestInheritImageRefuses offers what does not fit.
func TestInheritImageRefuses(t *testing.T) {
	memory := make([]byte, 5*pageSize)
	globals := func(m *Module) []uint64 { return make([]uint64, len(m.facts.Globals)) }
	for name, test := range map[string]struct {
		change func(*Options)
		file   func(m *Module) (*sealed, []byte)
		want   string
	}{
		"other settings": {func(o *Options) { o.Salt = []byte("other") }, nil, "configuration"},
		"other limit":    {func(o *Options) { o.MemoryLimit = 5 * pageSize }, nil, "configuration"},
		"no whole page": {nil, func(m *Module) (*sealed, []byte) {
			return &sealed{name: sharedImage, key: m.key, words: globals(m)}, memory[:len(memory)-osPage]
		}, "do not fit"},
		"too small": {nil, func(m *Module) (*sealed, []byte) {
			return &sealed{name: sharedImage, key: m.key, words: globals(m)}, memory[:0]
		}, "do not fit"},
		"too large": {func(o *Options) { o.MemoryLimit = 6 * pageSize }, func(m *Module) (*sealed, []byte) {
			return &sealed{name: sharedImage, key: m.key, words: globals(m)}, make([]byte, 7*pageSize)
		}, "do not fit"},
		"too many globals": {nil, func(m *Module) (*sealed, []byte) {
			return &sealed{name: sharedImage, key: m.key, words: make([]uint64, 900)}, memory
		}, "do not fit"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFamily(t)
			m := f.compile(resetWasm, nil)
			i := instantiate(t, m, Spec{})
			img, err := i.Capture(m, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer img.Close()
			img.Offer()
			other := f.compile(resetWasm, test.change)
			if test.file != nil {
				s, b := test.file(other)
				f.put(sharedImage, mustSeal(t, s, b))
			}
			if img, err := other.InheritImage(); img != nil || err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, %v; want an error with %q", img, err, test.want)
			}
		})
	}
}

// TestUnsealRefuses changes single bytes of trailers: what is read is what was written, or an error.
func TestUnsealRefuses(t *testing.T) {
	good := &sealed{name: sharedImage, note: 5, words: []uint64{1, 2}}
	for at := range sealedHead {
		trailer := append(good.trailer(), make([]byte, sealedTrailer-len(good.trailer()))...)
		trailer[at] ^= 0x80
		fd, err := unix.MemfdCreate("x", unix.MFD_ALLOW_SEALING)
		if err != nil {
			t.Fatal(err)
		}
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, func() int {
			if err := pwrite(fd, trailer, 0); err != nil {
				t.Fatal(err)
			}
			return seals
		}())
		if err != nil {
			t.Fatal(err)
		}
		s, err := unseal(fd, sharedImage, [32]byte{})
		if harmless := at >= 72 && at < 81; (err == nil) != harmless {
			t.Errorf("byte %d: %+v, %v", at, s, err)
		}
		unix.Close(fd)
	}
}
