package engine

import (
	"context"
	_ "embed"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero/api"
)

// The modules are built from the .wat files beside them by wat2wasm --debug-names.
var (
	//go:embed testdata/guest.wasm
	guestWasm []byte
	//go:embed testdata/files.wasm
	filesWasm []byte
)

// errHost is what the host function panics with when it is called with 1.
var errHost = errors.New("the host function failed")

// newEngine makes an engine with the module "test" in it.
func newEngine(t testing.TB, o Options) *Engine {
	t.Helper()
	e, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return e
}

// host is the host function: 0 returns, 1 panics with errHost, 2 panics with a runtime error, and 3 calls the guest's
// host function with 3 again.
type host struct{ instance *Instance }

func (h *host) call(ctx context.Context, _ api.Module, stack []uint64) {
	switch stack[0] {
	case 1:
		panic(errHost)
	case 2:
		var nothing []int
		nothing[1] = 2
	case 3:
		if err := h.instance.Call(ctx, h.instance.Function("host"), []uint64{3}); err != nil {
			panic(err)
		}
	}
}

// compileGuest compiles testdata/guest.wasm in a new engine.
func compileGuest(t testing.TB, o Options) (*Module, *host) {
	t.Helper()
	e := newEngine(t, o)
	h := &host{}
	_, err := e.HostModule("test").NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(h.call), []api.ValueType{api.ValueTypeI32}, nil).Export("host").Instantiate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m, err := e.Compile(t.Context(), guestWasm)
	if err != nil {
		t.Fatal(err)
	}
	return m, h
}

// instantiate makes an instance that is closed with the test.
func instantiate(t testing.TB, m *Module, s Spec) *Instance {
	t.Helper()
	i, err := m.Instantiate(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	})
	return i
}

// call calls a function that must succeed and returns its result.
func call(t testing.TB, i *Instance, name string, args ...uint64) uint64 {
	t.Helper()
	stack := append(args, 0)
	if err := i.Call(t.Context(), i.Function(name), stack); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return stack[0]
}

// trap calls a function that must fail.
func trap(t testing.TB, ctx context.Context, i *Instance, name string, args ...uint64) *Trap {
	t.Helper()
	err := i.Call(ctx, i.Function(name), append(args, 0))
	var trap *Trap
	if !errors.As(err, &trap) {
		t.Fatalf("%s returned %v, want a *Trap", name, err)
	}
	return trap
}

func TestCallErrors(t *testing.T) {
	m, h := compileGuest(t, Options{MemoryLimit: 4 * pageSize, Interrupt: InterruptFuel})
	for _, test := range []struct {
		name  string
		fn    string
		args  []uint64
		kind  TrapKind
		code  uint32
		err   string
		stack []string // what the stack must name, innermost first
	}{
		{"unreachable", "trap", nil, KindTrap, 0, "wasm error: unreachable", []string{"boom", "deeper"}},
		{"division", "divide", []uint64{1, 0}, KindTrap, 0, "wasm error: integer divide by zero", []string{"."}},
		{"bounds", "peek", []uint64{1 << 20}, KindTrap, 0, "wasm error: out of bounds memory access", []string{"."}},
		{"exit", "exit", []uint64{7}, KindExit, 7, "the guest exited with code 7", nil},
		{"exit with 0", "exit", []uint64{0}, KindExit, 0, "the guest exited with code 0", nil},
		{"exit like an interruption", "exit", []uint64{0xffffffff}, KindExit, 0xffffffff, "the guest exited with code 4294967295", nil},
		{"host error", "host", []uint64{1}, KindHost, 0, "the host function failed", []string{"test.host"}},
		{"host panic", "host", []uint64{2}, KindHost, 0, "index out of range", []string{"test.host"}},
		{"re-entry", "host", []uint64{3}, KindHost, 0, "called each other 16 deep", []string{"test.host"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			i := instantiate(t, m, Spec{})
			h.instance = i
			got := trap(t, t.Context(), i, test.fn, test.args...)
			if got.Kind != test.kind || got.Code != test.code || !strings.Contains(got.Error(), test.err) {
				t.Errorf("got %v, code %d, %q; want %v, code %d, %q", got.Kind, got.Code, got, test.kind, test.code, test.err)
			}
			if strings.Contains(got.Error(), "\n") || strings.Contains(got.Error(), "wazero") {
				t.Errorf("the message %q is not one plain line", got)
			}
			rest := got.Stack
			for _, frame := range test.stack {
				_, after, found := strings.Cut(rest, frame)
				if !found {
					t.Errorf("the stack lacks %q:\n%s", frame, got.Stack)
				}
				rest = after
			}
			if !i.Broken() {
				t.Error("the instance is not broken")
			}
			if err := i.Call(t.Context(), i.Function("nop"), nil); !errors.Is(err, errBroken) {
				t.Errorf("a broken instance was called: %v", err)
			}
			if next := instantiate(t, m, Spec{}); call(t, next, "count") != 1 {
				t.Error("the next instance is not fresh")
			}
		})
	}
	i := instantiate(t, m, Spec{})
	if got := trap(t, t.Context(), i, "host", 1); !errors.Is(got, errHost) {
		t.Errorf("%v does not wrap the host's error", got)
	}
}

func TestStackOverflow(t *testing.T) {
	m, _ := compileGuest(t, Options{})
	i := instantiate(t, m, Spec{})
	if got := trap(t, t.Context(), i, "recurse", 0); got.Kind != KindStackOverflow {
		t.Errorf("got %v: %v", got.Kind, got)
	}
	if !i.Broken() {
		t.Error("the instance is not broken")
	}
	if call(t, instantiate(t, m, Spec{}), "count") != 1 {
		t.Error("the next instance is not fresh")
	}
}

// underway is a deadline that leaves a call time to begin on a busy machine.
const underway = 200 * time.Millisecond

func TestInterrupt(t *testing.T) {
	t.Parallel()
	for _, way := range []Interrupt{InterruptFuel, InterruptClose} {
		t.Run(string(way), func(t *testing.T) {
			t.Parallel()
			testInterrupt(t, way)
		})
	}
}

func testInterrupt(t *testing.T, way Interrupt) {
	m, _ := compileGuest(t, Options{Interrupt: way})
	for _, test := range []struct {
		fn    string
		args  []uint64
		stack string
	}{
		{"spin", nil, "inner"},
		{"sleep", []uint64{uint64(time.Hour)}, "sleep"},
		{"sleep_for_ever", nil, "sleep"},
		{"yield_for_ever", nil, "yield_for_ever"},
	} {
		t.Run(test.fn, func(t *testing.T) {
			t.Parallel()
			i := instantiate(t, m, Spec{})
			ctx, cancel := context.WithTimeout(t.Context(), underway)
			defer cancel()
			start := time.Now()
			got := trap(t, ctx, i, test.fn, test.args...)
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
			if got.Kind != KindDeadline || !errors.Is(got, context.DeadlineExceeded) {
				t.Errorf("got %v: %v", got.Kind, got)
			}
			if !strings.Contains(got.Stack, test.stack) {
				t.Errorf("the stack lacks %q: %q", test.stack, got.Stack)
			}
			if !i.Broken() {
				t.Error("the instance is not broken")
			}
		})
	}
}

func TestCancel(t *testing.T) {
	why := errors.New("the client went away")
	for _, fn := range []string{"spin", "sleep"} {
		m, _ := compileGuest(t, Options{Interrupt: map[string]Interrupt{"spin": InterruptFuel, "sleep": InterruptClose}[fn]})
		i := instantiate(t, m, Spec{})
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(10*time.Millisecond, func() { cancel(why) })
		got := trap(t, ctx, i, fn, uint64(time.Hour))
		if got.Kind != KindCanceled || !errors.Is(got, why) {
			t.Errorf("%s: got %v: %v", fn, got.Kind, got)
		}
	}
}

// TestSleepWithoutInterrupt proves that a sleeping guest is ended even where its code cannot be interrupted.
func TestSleepWithoutInterrupt(t *testing.T) {
	t.Parallel()
	m, _ := compileGuest(t, Options{})
	for _, fn := range []string{"sleep", "sleep_for_ever", "yield_for_ever"} {
		t.Run(fn, func(t *testing.T) {
			t.Parallel()
			i := instantiate(t, m, Spec{})
			ctx, cancel := context.WithTimeout(t.Context(), underway)
			defer cancel()
			if got := trap(t, ctx, i, fn, uint64(time.Hour)); got.Kind != KindDeadline || got.Stack == "" {
				t.Errorf("got %v: %v, stack %q", got.Kind, got, got.Stack)
			}
		})
	}
}

func TestCallWithFinishedContext(t *testing.T) {
	m, _ := compileGuest(t, Options{Interrupt: InterruptFuel})
	i := instantiate(t, m, Spec{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := trap(t, ctx, i, "nop"); got.Kind != KindCanceled {
		t.Errorf("got %v: %v", got.Kind, got)
	}
	if i.Broken() || call(t, i, "count") != 1 {
		t.Error("a call that never began broke the instance")
	}
	if _, err := m.Instantiate(ctx, Spec{}); !errors.Is(err, context.Canceled) {
		t.Errorf("instantiate returned %v", err)
	}
}

// TestFinishedAsContextEnds calls guests whose context ends at about the time they return. Whatever the outcome, an
// instance that does not say it is broken must serve another call.
func TestFinishedAsContextEnds(t *testing.T) {
	for _, way := range []Interrupt{InterruptFuel, InterruptClose} {
		testFinishedAsContextEnds(t, way)
	}
}

func testFinishedAsContextEnds(t *testing.T, way Interrupt) {
	m, _ := compileGuest(t, Options{Interrupt: way})
	for range 200 {
		i, err := m.Instantiate(t.Context(), Spec{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		_ = i.Call(ctx, i.Function("nop"), nil)
		if !i.Broken() {
			call(t, i, "count")
		}
		if err := i.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStart(t *testing.T) {
	m, _ := compileGuest(t, Options{Interrupt: InterruptFuel})
	i := instantiate(t, m, Spec{Start: []string{"count", "absent", "count"}})
	if got := call(t, i, "count"); got != 3 {
		t.Errorf("count says %d after two start functions", got)
	}
	_, err := m.Instantiate(t.Context(), Spec{Start: []string{"trap"}})
	var trap *Trap
	if !errors.As(err, &trap) || trap.Kind != KindTrap || !strings.Contains(trap.Stack, "boom") {
		t.Errorf("a start function that traps returned %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err = m.Instantiate(ctx, Spec{Start: []string{"spin"}})
	if !errors.As(err, &trap) || trap.Kind != KindDeadline {
		t.Errorf("a start function that loops returned %v", err)
	}
	if s := m.engine.Stats(); s.Instances != 1 || s.MemoryBytes != pageSize {
		t.Errorf("after failed starts the engine has %+v", s)
	}
}

// TestCloseLeaksNothing runs instances of every fate and looks at what the process keeps.
func TestCloseLeaksNothing(t *testing.T) {
	m, _ := compileGuest(t, Options{Interrupt: InterruptFuel, MemoryLimit: 64 << 20})
	dir := t.TempDir()
	cycle := func() {
		for _, fn := range []string{"nop", "trap", "exit", "spin", "host"} {
			i, err := m.Instantiate(t.Context(), Spec{Dirs: []Dir{{Host: dir, Guest: "/d"}}})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			if fn == "spin" {
				ctx, cancel = context.WithTimeout(t.Context(), 100*time.Microsecond)
			}
			_ = i.Call(ctx, i.Function(fn), []uint64{1})
			cancel()
			if err := errors.Join(i.Close(), i.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 20 {
		cycle()
	}
	maps, fds := countMaps(t), countFiles(t)
	for range 100 {
		cycle()
	}
	// The Go runtime maps a few more arenas as it pleases; 500 leaked memories would be far more.
	if n := countMaps(t); n > maps+50 {
		t.Errorf("mappings went from %d to %d", maps, n)
	}
	if n := countFiles(t); n > fds+5 {
		t.Errorf("open files went from %d to %d", fds, n)
	}
	if s := m.engine.Stats(); s.Instances != 0 || s.MemoryBytes != 0 {
		t.Errorf("the engine still counts %+v", s)
	}
}

func countMaps(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(b), "\n")
}

func countFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
