package postmortem

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestPublish(t *testing.T) {
	f, err := Publish(0x1000, 0x100, []Func{{0, "first"}, {0x40, "evil\n\x1b[31m"}, {0x80, strings.Repeat("x", 300)}})
	if err != nil {
		t.Fatal(err)
	}
	tables := readTables(os.Getpid())
	if len(tables) != 1 {
		t.Fatalf("%d tables", len(tables))
	}
	for at, want := range map[uint64]string{
		0xfff: "", 0x1000: "first", 0x103f: "first", 0x1040: "evil??[31m", 0x10ff: strings.Repeat("x", maxName), 0x1100: "",
	} {
		if got, ok := lookUp(tables, at); got != want || ok != (want != "") {
			t.Errorf("%#x is in %q, %v; want %q", at, got, ok, want)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if tables := readTables(os.Getpid()); len(tables) != 0 {
		t.Errorf("%d tables after the end", len(tables))
	}
}

func TestParseTableRefuses(t *testing.T) {
	for _, text := range []string{"", "code", "code 1", "code x 1\n", "code ffffffffffffffff 2\n", "code 1 2\nx y\n", "code 1 2\n9 a\n8 b\n"} {
		if _, err := parseTable(strings.NewReader(text)); err == nil {
			t.Errorf("%q is a table", text)
		}
	}
}

func FuzzParseTable(f *testing.F) {
	f.Add("code 1000 100\n0 a\n40 b\n")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseTable(strings.NewReader(text))
		if err == nil && (got.end < got.start || len(got.offsets) != len(got.names) || !slices.IsSorted(got.offsets)) {
			t.Errorf("%q became %+v", text, got)
		}
	})
}

func TestMainByHand(t *testing.T) {
	for _, args := range [][]string{nil, {"x"}, {"1"}, {"-5"}, {"2", "3"}} {
		if code := Main(args, os.Stderr); code != 2 {
			t.Errorf("%q: exit code %d", args, code)
		}
	}
}
