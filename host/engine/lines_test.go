package engine

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const linesSource = `static volatile int sink;
__attribute__((noinline)) void inner(void) {
	for (;;)
		sink++;
}
__attribute__((export_name("spin"))) void spin(void) {
	sink = 1;
	inner();
	sink = 2;
}
static inline __attribute__((always_inline)) int quotient(int a, int b) {
	return a / b;
}
__attribute__((noinline)) int middle(int a, int b) {
	for (int i = 0; i < a; i++)
		sink += i;
	return quotient(a, b) + 1;
}
__attribute__((export_name("divide"))) int divide(int a, int b) {
	sink = 3;
	return middle(a, b) * 2;
}
`

// compileC compiles freestanding C.
func compileC(t *testing.T, source string, flags ...string) []byte {
	t.Helper()
	for _, tool := range []string{"clang", "wasm-ld"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is missing; scripts/install-test-packages.sh installs it", tool)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "guest.c"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("clang", append([]string{"--target=wasm32-unknown-unknown", "-nostdlib", "-Wl,--no-entry", "-o", "guest.wasm", "guest.c"}, flags...)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("clang: %v\n%s", err, out)
	}
	wasm, err := os.ReadFile(filepath.Join(dir, "guest.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

var sourceLine = regexp.MustCompile(`guest\.c:\d+`)

// TestLines proves that stacks of rewritten guests name the lines that wazero names in those that are not.
func TestLines(t *testing.T) {
	for _, flags := range [][]string{{"-g", "-O1"}, {"-g", "-O0"}, {"-gdwarf-5", "-O2"}} {
		t.Run(strings.Join(flags, " "), func(t *testing.T) {
			wasm := compileC(t, linesSource, flags...)
			traps := map[Interrupt][]string{}
			for _, way := range []Interrupt{InterruptOff, InterruptFuel} {
				m, err := newEngine(t, Options{Interrupt: way}).Compile(t.Context(), wasm)
				if err != nil {
					t.Fatal(err)
				}
				got := trap(t, t.Context(), instantiate(t, m, Spec{}), "divide", 5, 0)
				traps[way] = sourceLine.FindAllString(got.Stack, -1)
				if way == InterruptOff {
					continue
				}
				again := trap(t, t.Context(), instantiate(t, m, Spec{}), "divide", 5, 0)
				if again.Stack != got.Stack {
					t.Errorf("the second time it is\n%s\nafter\n%s", again.Stack, got.Stack)
				}
				testSpinLines(t, m)
			}
			if flags[0] == "-g" && !slices.Equal(traps[InterruptOff], traps[InterruptFuel]) {
				t.Errorf("with fuel the lines are %v, want %v", traps[InterruptFuel], traps[InterruptOff])
			}
			if want := "guest.c:12 guest.c:17 guest.c:21"; strings.Join(traps[InterruptFuel], " ") != want {
				t.Errorf("the lines are %v, want %s", traps[InterruptFuel], want)
			}
		})
	}
}

// testSpinLines interrupts a guest and looks for where it was.
func testSpinLines(t *testing.T, m *Module) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	got := trap(t, ctx, instantiate(t, m, Spec{}), "spin")
	lines := strings.Join(sourceLine.FindAllString(got.Stack, -1), " ")
	if !regexp.MustCompile(`^guest.c:[234] guest.c:8$`).MatchString(lines) { // compilers differ about where a loop begins
		t.Errorf("the lines are %q in\n%s", lines, got.Stack)
	}
}
