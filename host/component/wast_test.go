package component

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/appserver-go/appserver/host/component/abi"
	"github.com/appserver-go/appserver/host/component/link"
	"github.com/appserver-go/appserver/host/component/types"
	"github.com/appserver-go/appserver/host/engine"
	"github.com/appserver-go/appserver/internal/jcotest"
)

// TestWast runs scripts in the language of the component model's own tests: our files in testdata, and those in the
// directory that $COMPONENT_MODEL_TESTS names, such as test/ of the component-model repository.
//
// An assert_unlinkable, which that language has with other meanings too, is for a component that cannot be loaded.
func TestWast(t *testing.T) {
	files, err := filepath.Glob("testdata/*.wast")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	if dir := os.Getenv("COMPONENT_MODEL_TESTS"); dir != "" {
		more, err := filepath.Glob(filepath.Join(dir, "*", "*.wast"))
		if err != nil || len(more) == 0 {
			t.Fatalf("no scripts in %s: %v", dir, err)
		}
		files = append(files, more...)
	}
	var scripts []*script
	var texts []string
	for _, file := range files {
		s := readScript(t, file)
		scripts, texts = append(scripts, s), append(texts, s.components()...)
	}
	made := jcotest.Assemble(t, texts)
	for i, s := range scripts {
		n := len(s.components())
		t.Run(filepath.Base(files[i]), func(t *testing.T) { s.run(t, made[:n]) })
		made = made[n:]
	}
}

// form is an S-expression: a word, a string, or a list.
type form struct {
	text     string // of a word; the content of a string
	isString bool
	list     []form
	from, to int // in the script
}

// head returns the first word of a list.
func (f *form) head() string {
	if len(f.list) == 0 {
		return ""
	}
	return f.list[0].text
}

// script reads forms.
type script struct {
	text  string
	off   int
	forms []form
}

func (s *script) skip() {
	for s.off < len(s.text) {
		rest := s.text[s.off:]
		switch {
		case strings.HasPrefix(rest, ";;"):
			s.off += strings.IndexByte(rest+"\n", '\n')
		case strings.HasPrefix(rest, "(;"):
			depth, i := 0, 0
			for ; i < len(rest); i++ {
				if strings.HasPrefix(rest[i:], "(;") {
					depth++
				} else if strings.HasPrefix(rest[i:], ";)") {
					if depth--; depth == 0 {
						break
					}
				}
			}
			s.off += i + 2
		case strings.IndexByte(" \t\r\n", rest[0]) >= 0:
			s.off++
		default:
			return
		}
	}
}

// next reads a form.
func (s *script) next() (form, bool) {
	s.skip()
	if s.off >= len(s.text) || s.text[s.off] == ')' {
		return form{}, false
	}
	f := form{from: s.off}
	switch s.text[s.off] {
	case '(':
		s.off++
		for {
			child, ok := s.next()
			if !ok {
				break
			}
			f.list = append(f.list, child)
		}
		s.off++
	case '"':
		f.isString = true
		f.text = s.quoted()
	default:
		n := strings.IndexAny(s.text[s.off:], " \t\r\n()\";")
		if n < 0 {
			n = len(s.text) - s.off
		}
		f.text = s.text[s.off : s.off+n]
		s.off += n
	}
	f.to = s.off
	return f, true
}

// quoted reads a string with the escapes of the text format.
func (s *script) quoted() string {
	var b []byte
	for s.off++; s.off < len(s.text) && s.text[s.off] != '"'; s.off++ {
		c := s.text[s.off]
		if c != '\\' {
			b = append(b, c)
			continue
		}
		s.off++
		switch c = s.text[s.off]; c {
		case 'n', 't', 'r':
			b = append(b, map[byte]byte{'n': '\n', 't': '\t', 'r': '\r'}[c])
		case 'u':
			end := strings.IndexByte(s.text[s.off:], '}') + s.off
			n, _ := strconv.ParseUint(s.text[s.off+2:end], 16, 32)
			b = append(b, string(rune(n))...)
			s.off = end
		case '"', '\\', '\'':
			b = append(b, c)
		default:
			n, _ := strconv.ParseUint(s.text[s.off:s.off+2], 16, 8)
			b = append(b, byte(n))
			s.off++
		}
	}
	s.off++
	return string(b)
}

// readScript reads a file.
func readScript(t *testing.T, file string) *script {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &script{text: string(b)}
	for f, ok := s.next(); ok; f, ok = s.next() {
		s.forms = append(s.forms, f)
	}
	return s
}

// components returns the texts of all components.
func (s *script) components() (texts []string) {
	for i := range s.forms {
		if c := componentOf(&s.forms[i]); c != nil {
			texts = append(texts, s.text[c.from:c.to])
		}
	}
	return texts
}

// run runs the forms in their order. Made are the components.
func (s *script) run(t *testing.T, made []jcotest.Assembled) {
	var current *bare
	for _, f := range s.forms {
		line := 1 + strings.Count(s.text[:f.from], "\n")
		var wasm jcotest.Assembled
		if componentOf(&f) != nil {
			wasm, made = made[0], made[1:]
		}
		if err := runForm(t, &f, wasm, &current); err != nil {
			t.Errorf("line %d: %s: %v", line, f.head(), err)
		}
	}
}

// componentOf returns the component that a form is or is about.
func componentOf(f *form) *form {
	if f.head() == "component" {
		return f
	}
	if strings.HasPrefix(f.head(), "assert_") && len(f.list) > 1 && f.list[1].head() == "component" {
		return &f.list[1]
	}
	return nil
}

func runForm(t *testing.T, f *form, wasm jcotest.Assembled, current **bare) error {
	switch f.head() {
	case "component":
		if wasm.Error != "" {
			return errors.New(wasm.Error)
		}
		var err error
		*current, err = loadBare(t, wasm.Wasm)
		return err
	case "assert_return":
		got, err := (*current).invoke(t, &f.list[1])
		if err != nil {
			return err
		}
		want := f.list[2:]
		if len(want) == 0 && got == nil {
			return nil
		}
		if fn := (*current).function(&f.list[1]); len(want) != 1 || fn.Type.Result == nil ||
			!reflect.DeepEqual(got, constant(&want[0], fn.Type.Result)) {
			return fmt.Errorf("returned %v", got)
		}
		return nil
	case "assert_trap":
		_, err := (*current).invoke(t, &f.list[1])
		if err == nil || !strings.Contains(err.Error(), f.list[2].text) {
			return fmt.Errorf("have %v, want %q", err, f.list[2].text)
		}
		return nil
	case "assert_unlinkable", "assert_invalid", "assert_malformed":
		if wasm.Error != "" && f.head() != "assert_unlinkable" {
			return nil // jco has found it out
		}
		_, err := loadBare(t, wasm.Wasm)
		if err == nil || f.head() == "assert_unlinkable" && !strings.Contains(err.Error(), f.list[2].text) {
			return fmt.Errorf("have %v, want %q", err, f.list[2].text)
		}
		return nil
	}
	return fmt.Errorf("unknown form")
}

// bare is a component without imports.
type bare struct {
	program  *abi.Program
	instance *abi.Instance
}

// loadBare loads a component that need not be a guest. Its instance is made from an image.
func loadBare(t *testing.T, wasm []byte) (*bare, error) {
	ctx := context.Background()
	plan, err := planOf(wasm)
	if err != nil {
		return nil, err
	}
	eng, err := engine.New(ctx, engine.Options{Interrupt: engine.InterruptFuel, Reset: true})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = eng.Close(ctx) })
	group, err := eng.CompileGroup(ctx, members(plan, abi.HostModule))
	if err != nil {
		return nil, err
	}
	if err := checkCore(plan, group); err != nil {
		return nil, err
	}
	none := &interfaces{}
	if err := abi.Define(ctx, eng, abi.HostModule, plan, none.function); err != nil {
		return nil, err
	}
	b := &bare{program: &abi.Program{Plan: plan, Group: group}}
	b.instance, err = b.program.Instantiate(ctx, nil)
	return b, err
}

// function returns the function that (invoke "name" …) is about.
func (b *bare) function(f *form) *link.Func {
	return b.program.Plan.Exports.Func(f.list[1].text)
}

// invoke calls a function in an instance that has not trapped yet.
func (b *bare) invoke(t *testing.T, f *form) (any, error) {
	t.Helper()
	fn := b.function(f)
	if fn == nil {
		return nil, fmt.Errorf("no function %q", f.list[1].text)
	}
	if b.instance.Broken() {
		_ = b.instance.Close()
		var err error
		if b.instance, err = b.program.Instantiate(t.Context(), nil); err != nil {
			return nil, err
		}
	}
	var args []any
	for i, a := range f.list[2:] {
		args = append(args, constant(&a, fn.Type.Params[i].Type))
	}
	return b.instance.Invoke(t.Context(), fn, args...)
}

// constant makes a value of (u32.const 1) and the like.
func constant(f *form, t *types.Type) any {
	items := f.list[1:]
	values := func(of func(int) *types.Type) []any {
		vs := []any{}
		for i := range items {
			vs = append(vs, constant(&items[i], of(i)))
		}
		return vs
	}
	switch t.Kind {
	case types.String:
		return items[0].text
	case types.Char:
		return []rune(items[0].text)[0]
	case types.Bool:
		return items[0].text == "true"
	case types.F32:
		v, _ := strconv.ParseFloat(items[0].text, 32)
		return float32(v)
	case types.F64:
		v, _ := strconv.ParseFloat(items[0].text, 64)
		return v
	case types.List:
		vs := values(func(int) *types.Type { return t.Elem })
		if t.Elem.Kind != types.U8 {
			return vs
		}
		b := []byte{}
		for _, v := range vs {
			b = append(b, v.(byte))
		}
		return b
	case types.Record:
		vs := []any{}
		for i := range items { // (field "name" u8.const 1)
			v := form{list: items[i].list[2:]}
			vs = append(vs, constant(&v, t.Fields[i].Type))
		}
		return vs
	case types.Tuple:
		return values(func(i int) *types.Type { return t.Fields[i].Type })
	case types.Flags:
		var bits uint32
		for _, l := range items {
			bits |= 1 << slices.Index(t.Labels, l.text)
		}
		return bits
	case types.Variant, types.Enum, types.Option, types.Result:
		return choice(f, t)
	}
	return integer(items[0].text, t.Kind)
}

// choice makes a value of a variant, enum, option or result.
func choice(f *form, t *types.Type) any {
	items := f.list[1:]
	name := map[string]string{"option.none": "none", "option.some": "some", "result.ok": "ok", "result.err": "error"}[f.head()]
	if name == "" {
		name, items = items[0].text, items[1:]
	}
	v := abi.Variant{}
	for i, c := range t.Fields {
		if c.Name == name {
			if v.Case = uint32(i); c.Type != nil {
				v.Value = constant(&items[0], c.Type)
			}
		}
	}
	return v
}

func integer(text string, k types.Kind) any {
	n, err := strconv.ParseInt(text, 0, 64)
	u := uint64(n)
	if err != nil {
		u, _ = strconv.ParseUint(text, 0, 64)
	}
	switch k {
	case types.S8:
		return int8(n)
	case types.U8:
		return uint8(u)
	case types.S16:
		return int16(n)
	case types.U16:
		return uint16(u)
	case types.S32:
		return int32(n)
	case types.U32:
		return uint32(u)
	case types.S64:
		return n
	case types.U64:
		return u
	}
	return math.NaN()
}
