package rewrite

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
)

// compilers of programs for WASI. Each program prints what it computes, and ends with an exit code.
var compilers = []struct {
	name, file, source string
	needs              []string
	command            []string
	env                []string
}{
	{"Go", "main.go", goProgram, []string{"go"}, []string{"go", "build", "-o", "guest.wasm", "main.go"}, []string{"GOOS=wasip1", "GOARCH=wasm", "GOFLAGS="}},
	{
		"C", "main.c", cProgram,
		[]string{"clang", "wasm-ld", "/usr/lib/wasm32-wasi/libc.a"},
		[]string{"clang", "--target=wasm32-wasi", "-O1", "-g", "-o", "guest.wasm", "main.c", "-lm"},
		nil,
	},
	{
		"C with SIMD, bulk memory and tail calls", "main.c", cProgram,
		[]string{"clang", "wasm-ld", "/usr/lib/wasm32-wasi/libc.a"},
		[]string{"clang", "--target=wasm32-wasi", "-O3", "-msimd128", "-mbulk-memory", "-mtail-call", "-msign-ext", "-mnontrapping-fptoint", "-o", "guest.wasm", "main.c", "-lm"},
		nil,
	},
	{
		"Rust", "main.rs", rustProgram,
		[]string{"/usr/bin/rustc", "/usr/lib/rustlib/wasm32-wasi"},
		[]string{"/usr/bin/rustc", "--target", "wasm32-wasi", "-O", "-g", "-o", "guest.wasm", "main.rs"},
		nil,
	},
}

const goProgram = `package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strings"
)

type node struct {
	Name     string
	Children []*node
	Weight   float64
}

func grow(depth int) *node {
	n := &node{Name: strings.Repeat("n", depth), Weight: 1 / float64(depth+1)}
	for i := 0; i < depth; i++ {
		n.Children = append(n.Children, grow(depth-1))
	}
	return n
}

func safely(f func()) (said any) {
	defer func() { said = recover() }()
	f()
	return nil
}

func main() {
	b, err := json.Marshal(grow(5))
	fmt.Println(len(b), err)
	var back node
	fmt.Println(json.Unmarshal(b, &back), len(back.Children))
	counts := map[string]int{}
	for i := 0; i < 5000; i++ {
		counts[fmt.Sprint(i%97)] += i
	}
	var keys []string
	for k := range counts {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys[:10] {
		fmt.Println(k, counts[k])
	}
	results := make(chan int)
	for i := 0; i < 8; i++ {
		go func(n int) {
			total := 0
			for j := 0; j < 1000*n; j++ {
				total += j ^ n
			}
			results <- total
		}(i)
	}
	sum := 0
	for i := 0; i < 8; i++ {
		sum += <-results
	}
	fmt.Println(sum)
	var none *node
	var index = 9
	fmt.Println(safely(func() { fmt.Println(none.Name) }), safely(func() { fmt.Println([]int{1}[index]) }))
	runtime.GC()
	os.Exit(7)
}
`

const cProgram = `#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int less(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
static unsigned fib(unsigned n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
typedef int (*op)(int, int);
static int add(int a, int b) { return a + b; }
static int mul(int a, int b) { return a * b; }
static int collatz(int n) {
	int steps = 0;
	for (; n != 1; steps++)
		switch (n % 4) {
		case 0: n /= 4; steps++; break;
		case 2: n /= 2; break;
		default: n = 3 * n + 1;
		}
	return steps;
}
int main(void) {
	static int v[5000];
	static float x[1000], y[1000];
	op ops[] = {add, mul};
	unsigned seed = 1, hash = 0;
	for (int i = 0; i < 5000; i++)
		v[i] = (int)((seed = seed * 1103515245u + 12345u) >> 8);
	qsort(v, 5000, sizeof *v, less);
	for (int i = 0; i < 5000; i++)
		hash = hash * 31 + (unsigned)ops[i % 2](v[i], i);
	printf("%u %u %d\n", hash, fib(18), collatz(27));
	for (int i = 0; i < 1000; i++)
		x[i] = sinf((float)i), y[i] = (float)i;
	float dot = 0;
	for (int i = 0; i < 1000; i++)
		dot += x[i] * y[i];
	printf("%.6f %.12g %d\n", (double)dot, pow(2.5, 10.25), (int)1e20);
	char *s = malloc(100000), *t = malloc(100000);
	memset(s, 'a', 99999);
	s[99999] = 0;
	memcpy(t, s, 100000);
	memmove(t + 1, t, 5000);
	printf("%zu %d\n", strlen(t), strcmp(s, t));
	free(s);
	return 3;
}
`

const rustProgram = `use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

#[derive(Debug, Clone)]
enum Tree { Leaf(u64), Node(Box<Tree>, Box<Tree>) }

fn build(n: u64) -> Tree {
    if n < 2 { Tree::Leaf(n) } else { Tree::Node(Box::new(build(n / 2)), Box::new(build(n - n / 2 - 1))) }
}

fn sum(t: &Tree) -> u128 {
    match t { Tree::Leaf(n) => *n as u128 + 1, Tree::Node(a, b) => sum(a) * 3 + sum(b) }
}

fn main() {
    println!("{}", sum(&build(2000)));
    let mut words: HashMap<String, usize> = HashMap::new();
    for i in 0..5000 { *words.entry(format!("w{}", i * i % 101)).or_default() += i; }
    let sorted: BTreeMap<_, _> = words.iter().collect();
    println!("{:?}", sorted.iter().take(5).collect::<Vec<_>>());
    let mut text = String::new();
    for x in [1.5f64, -0.0, 1e300, f64::NAN] { write!(text, "{:e} {} ", x, x as i32).unwrap(); }
    println!("{}", text);
    let mut v: Vec<u32> = (0..3000u32).map(|i| i.wrapping_mul(2654435761)).collect();
    v.sort_by_key(|x| x.reverse_bits());
    println!("{:?}", v.iter().fold(0u32, |a, x| a.rotate_left(5) ^ x));
    let empty: Vec<u32> = v.into_iter().filter(|x| *x == 1).collect();
    println!("{}", empty[0]);
}
`

// TestToolchains compares what programs print and how they end, as they are and rewritten.
func TestToolchains(t *testing.T) {
	for _, c := range compilers {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, need := range c.needs {
				if _, err := os.Stat(need); err != nil {
					if _, err := exec.LookPath(need); err != nil {
						t.Skipf("%s is missing; scripts/install-test-packages.sh installs it", need)
					}
				}
			}
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, c.file), []byte(c.source), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(c.command[0], c.command[1:]...)
			cmd.Dir, cmd.Env = dir, append(os.Environ(), c.env...)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %v\n%s", c.command, err, out)
			}
			wasm, err := os.ReadFile(filepath.Join(dir, "guest.wasm"))
			if err != nil {
				t.Fatal(err)
			}
			compareRuns(t, wasm)
		})
	}
}

func compareRuns(t *testing.T, wasm []byte) {
	t.Helper()
	d, err := Decode(wasm)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := runProgram(t, wasm)
	if strings.Count(want, "\n") < 4 {
		t.Fatalf("the program printed only\n%s", want)
	}
	for _, o := range []Options{{TableLimit: 1 << 20, Fuel: 7, Reset: true}, {TableLimit: 1 << 20, Fuel: 10_000}} {
		rewritten, err := d.Rewrite(o)
		if err != nil {
			t.Fatal(err)
		}
		have, yields := runProgram(t, rewritten)
		if have != want {
			t.Errorf("%+v: got\n%s\nwant\n%s", o, have, want)
		}
		if yields == 0 {
			t.Errorf("%+v: not a single yield", o)
		}
	}
}

// runProgram returns what a program printed, its error without the stack, and how often it yielded.
func runProgram(t *testing.T, wasm []byte) (said string, yields int) {
	t.Helper()
	l := newLab(t, 100)
	var out bytes.Buffer
	ctx := context.Background()
	_, err := l.runtime.InstantiateWithConfig(ctx, wasm, wazero.NewModuleConfig().WithName("").WithArgs("guest").
		WithStdout(&out).WithStderr(&out).WithStartFunctions(StartExport, "_start"))
	fmt.Fprintf(&out, "end: %s\n", first(err))
	return out.String(), l.yields
}
