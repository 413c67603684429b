package engine

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero/api"
)

//go:embed testdata/reset.wasm
var resetWasm []byte

// compileReset compiles testdata/reset.wasm for resets, which verify themselves, in one mode of finding pages.
func compileReset(t testing.TB, mode scanMode) (m *Module, started *int) {
	t.Helper()
	e := newEngine(t, Options{Interrupt: InterruptFuel, Reset: true, VerifyReset: true})
	if mode > e.dirty.mode {
		t.Skipf("the kernel's best way to find pages is %v", e.dirty.mode)
	}
	if e.dirty.mode = mode; mode != scanCompare && !e.dirty.works() {
		t.Fatalf("%v does not work", mode)
	}
	started = new(int)
	_, err := e.HostModule("test").NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(func(context.Context, api.Module, []uint64) { *started++ }),
			[]api.ValueType{api.ValueTypeI32}, nil).Export("host").Instantiate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if m, err = e.Compile(t.Context(), resetWasm); err != nil {
		t.Fatal(err)
	}
	return m, started
}

// capture makes an instance and its image.
func capture(t testing.TB, m *Module, s Spec) (*Instance, *Image) {
	t.Helper()
	s.Start = []string{"init"}
	i := instantiate(t, m, s)
	img, err := i.Capture(m, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(img.Close(), img.Close()); err != nil {
			t.Error(err)
		}
	})
	return i, img
}

func forModes(t *testing.T, f func(t *testing.T, mode scanMode)) {
	for _, mode := range []scanMode{scanCompare, scanPagemap, scanIoctl} {
		t.Run(mode.String(), func(t *testing.T) { f(t, mode) })
	}
}

// view returns an instance's whole memory.
func view(t testing.TB, i *Instance) []byte {
	t.Helper()
	b, ok := i.Memory().Read(0, i.Memory().Size())
	if !ok {
		t.Fatal("no memory")
	}
	return b
}

func digest(b []byte) uint64 {
	h := fnv.New64a()
	h.Write(b)
	return h.Sum64()
}

// request does something to an instance, as a request would; what it was is returned.
func request(t *testing.T, r *rand.Rand, i *Instance) string {
	n := uint64(i.Memory().Size())
	switch r.IntN(9) {
	case 0, 1:
		for range 1 + r.IntN(300) {
			call(t, i, "poke", r.Uint64N(n), r.Uint64N(256))
		}
		return "poke"
	case 2:
		at := r.Uint64N(n)
		call(t, i, "fill", at, r.Uint64N(256), r.Uint64N(n-at))
		return "fill"
	case 3:
		call(t, i, "grow", r.Uint64N(40))
		call(t, i, "fill", uint64(i.Memory().Size())-100, 1, 100)
		return "grow"
	case 4:
		call(t, i, "count")
		return "count"
	case 5:
		trap(t, t.Context(), i, "trap")
		return "trap"
	case 6:
		trap(t, t.Context(), i, "exit", 1)
		return "exit"
	case 7:
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		trap(t, ctx, i, "spin")
		return "spin"
	}
	trap(t, t.Context(), i, "fill", n-10, 1, 100)
	return "out of bounds"
}

// TestResetProperty resets an instance after sequences of whatever a request can do to it.
func TestResetProperty(t *testing.T) {
	forModes(t, func(t *testing.T, mode scanMode) {
		m, _ := compileReset(t, mode)
		i, _ := capture(t, m, Spec{})
		want := digest(view(t, i))
		r := rand.New(rand.NewPCG(1, uint64(mode)))
		for round := range 200 {
			var done []string
			for range 1 + r.IntN(3) {
				if !i.Broken() {
					done = append(done, request(t, r, i))
				}
			}
			if err := i.Reset(); err != nil {
				t.Fatalf("round %d, %v: %v", round, done, err)
			}
			if got := digest(view(t, i)); got != want || i.Broken() {
				t.Fatalf("round %d: the memory differs after %v", round, done)
			}
			if pages, count := call(t, i, "size"), call(t, i, "count"); pages != 5 || count != 11 {
				t.Fatalf("round %d, %v: %d pages, count %d", round, done, pages, count)
			}
			if s := m.engine.Stats(); s.MemoryBytes != 5*pageSize && s.MemoryBytes < 5*pageSize {
				t.Fatalf("round %d: %d bytes are accounted for", round, s.MemoryBytes)
			}
			if err := i.Reset(); err != nil {
				t.Fatal(err)
			}
			if s := m.engine.Stats(); s.MemoryBytes != 5*pageSize {
				t.Fatalf("round %d: %d bytes are accounted for", round, s.MemoryBytes)
			}
		}
	})
}

// TestResetRegions writes to every other page, so that the kernel's list is longer than the room for it, and so often
// that the pages are dropped in between.
func TestResetRegions(t *testing.T) {
	forModes(t, func(t *testing.T, mode scanMode) {
		m, _ := compileReset(t, mode)
		i := instantiate(t, m, Spec{})
		call(t, i, "grow", 60) // to 1024 pages of the kernel
		call(t, i, "fill", 0, 3, 64*pageSize)
		img, err := i.Capture(m, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer img.Close()
		for range dropEvery + 3 {
			for page := range uint64(64 * pageSize / osPage) {
				if page%7 != 1 {
					call(t, i, "poke", page*osPage+page, 9)
				}
			}
			if err := i.Reset(); err != nil {
				t.Fatal(err)
			}
		}
		if want := bytes.Repeat([]byte{3}, 64*pageSize); !bytes.Equal(view(t, i), want) {
			t.Error("the memory differs")
		}
		if mode != scanCompare && i.memory.resets > dropEvery {
			t.Errorf("the pages were not dropped in %d resets", i.memory.resets)
		}
	})
}

// TestAdopt makes instances from an image: no function runs for it, they are alike, and they share nothing they write.
func TestAdopt(t *testing.T) {
	m, started := compileReset(t, scanCompare)
	first, img := capture(t, m, Spec{})
	if *started != 2 {
		t.Fatalf("%d start functions ran", *started)
	}
	var all []*Instance
	for range 3 {
		i, err := img.Adopt(t.Context(), Spec{Start: []string{"init"}})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, i)
	}
	if *started != 2 || !bytes.Equal(view(t, first), view(t, all[2])) {
		t.Errorf("%d start functions ran, or memories differ", *started)
	}
	if err := img.Close(); err != nil { // the instances keep it
		t.Fatal(err)
	}
	for n, i := range all {
		call(t, i, "fill", 0, uint64(n+1), 5*pageSize)
	}
	if view(t, all[0])[9000] != 1 || view(t, all[1])[9000] != 2 || view(t, first)[9000] != 7 {
		t.Error("instances share what they write")
	}
	for _, i := range all {
		if err := i.Reset(); err != nil {
			t.Error(err)
		}
		if got := call(t, i, "count"); got != 11 {
			t.Errorf("count is %d", got)
		}
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := first.Reset(); err != nil {
		t.Error(err)
	}
}

// TestKillResetReuse is the acceptance test of interruption: 200 times a guest is stopped at its deadline, with its
// stack, and serves on.
func TestKillResetReuse(t *testing.T) {
	m, _ := compileReset(t, scanIoctl)
	i, _ := capture(t, m, Spec{})
	var late []time.Duration
	for n := range 200 {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Microsecond)
		got := trap(t, ctx, i, "spin")
		deadline, _ := ctx.Deadline()
		late = append(late, time.Since(deadline))
		cancel()
		if got.Kind != KindDeadline || got.Stack != "" && !strings.Contains(got.Stack, "inner") {
			t.Fatalf("cycle %d: %v: %v\n%s", n, got.Kind, got, got.Stack)
		}
		if err := i.Reset(); err != nil {
			t.Fatal(err)
		}
		if got := call(t, i, "count"); got != 11 {
			t.Fatalf("cycle %d: count is %d", n, got)
		}
		if err := i.Reset(); err != nil {
			t.Fatal(err)
		}
	}
	if typical := median(late); typical > 10*time.Millisecond {
		t.Errorf("the median of lateness is %v", typical)
	}
}

// TestFuelStopsEverything stops code that never meets the head of a loop, and code whose steps are long.
func TestFuelStopsEverything(t *testing.T) {
	m, _ := compileReset(t, scanCompare)
	for name, arg := range map[string]uint64{"tree": 10_000, "filler": 0} {
		i := instantiate(t, m, Spec{})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		begin := time.Now()
		kind := trap(t, ctx, i, name, arg).Kind
		cancel()
		if took := time.Since(begin); kind != KindDeadline || took > 5*time.Second {
			t.Errorf("%s ended with %v after %v", name, kind, took)
		}
	}
}

func TestResetRefuses(t *testing.T) {
	m, _ := compileReset(t, scanIoctl)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := Spec{Dirs: []Dir{{Host: dir, Guest: "/"}}}
	i, img := capture(t, m, s)
	if got := call(t, i, "open"); got != 0 {
		t.Fatalf("open returned %d", got)
	}
	if err := i.Reset(); !errors.Is(err, errOpenFiles) {
		t.Errorf("with an open file: %v", err)
	}
	if i, err := img.Adopt(t.Context(), s); err != nil {
		t.Error(err)
	} else {
		if got := trap(t, t.Context(), i, "recurse", 0); got.Kind != KindStackOverflow {
			t.Errorf("got %v", got.Kind)
		}
		if err := errors.Join(i.Reset(), i.Close(), i.Reset()); !errors.Is(err, errLost) {
			t.Errorf("without a stack: %v", err)
		}
	}
	plain := instantiate(t, m, s)
	if err := plain.Reset(); !errors.Is(err, errNoImage) {
		t.Errorf("without an image: %v", err)
	}
	call(t, plain, "open")
	if _, err := plain.Capture(m, 0); !errors.Is(err, ErrLasting) {
		t.Errorf("an image with an open file: %v", err)
	}
	writes, err := newEngine(t, Options{Reset: true}).Compile(t.Context(), guestWasm) // grows its table
	if err != nil || !strings.Contains(writes.Lasting(), "tables") {
		t.Errorf("%q, %v", writes.Lasting(), err)
	}
}

// TestClosedStreams loses the instances whose guests closed what was not theirs to open again, and no others.
func TestClosedStreams(t *testing.T) {
	m, _ := compileReset(t, scanIoctl)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := Spec{Dirs: []Dir{{Host: dir, Guest: "/"}}}
	for _, test := range []struct {
		fn   string
		args []uint64
		lost bool
	}{
		{"close", []uint64{1}, true}, {"close", []uint64{3}, true}, {"close", []uint64{4}, false}, {"renumber", []uint64{4, 1}, true},
	} {
		i, _ := capture(t, m, s)
		call(t, i, "open")                                                               // descriptor 4
		if got := call(t, i, test.fn, test.args...); got != 0 && test.fn != "renumber" { // no descriptor can take the place of another kind
			t.Errorf("%s %v returned %d", test.fn, test.args, got)
		}
		if err := i.Reset(); (err != nil) != test.lost {
			t.Errorf("after %s %v: %v", test.fn, test.args, err)
		}
	}
	i := instantiate(t, m, s)
	call(t, i, "close", 0)
	if _, err := i.Capture(m, 0); !errors.Is(err, ErrLasting) {
		t.Errorf("an image without a standard stream: %v", err)
	}
}

// TestVerifyFindsDifferences proves that the check after a reset can fail.
func TestVerifyFindsDifferences(t *testing.T) {
	m, _ := compileReset(t, scanCompare)
	i, _ := capture(t, m, Spec{})
	for _, spoil := range []func(){
		func() { i.memory.room[5*pageSize-1]++ }, func() { i.globals[1].Set(7) }, func() { i.Memory().Grow(1) },
	} {
		spoil()
		if err := i.verify(); err == nil {
			t.Error("a difference was not found")
		}
		if err := i.Reset(); err != nil {
			t.Error(err)
		}
	}
}

// median returns the middle one of the times.
func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
