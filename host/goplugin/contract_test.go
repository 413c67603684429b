package goplugin

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/appserver-go/appserver/internal/fault"
)

// symbols is a plugin that was never a file.
type symbols map[string]any

func (s symbols) find(name string) (any, bool) {
	symbol, ok := s[name]
	return symbol, ok
}

func TestBind(t *testing.T) {
	plain := func(http.ResponseWriter, *http.Request) {}
	var handler http.Handler = http.HandlerFunc(plain)
	var none http.Handler
	var noMux *http.ServeMux
	mux := http.NewServeMux()
	newHandler := func(config map[string]string) (http.Handler, error) {
		if config["k"] != "v" {
			t.Errorf("NewHandler got %v", config)
		}
		return handler, nil
	}
	closer := func(context.Context) error { return errors.New("closed") }
	for _, test := range []struct {
		name    string
		symbols symbols
		origin  string
		err     string // "" when it binds
	}{
		{"function", symbols{"NewHandler": newHandler, "Close": closer}, "NewHandler", ""},
		{"function in a variable", symbols{"NewHandler": &newHandler}, "NewHandler", ""},
		{"function before variable", symbols{"NewHandler": newHandler, "Handler": &none}, "NewHandler", ""},
		{"variable", symbols{"Handler": &handler}, "Handler", ""},
		{"variable of another type", symbols{"Handler": &mux}, "Handler", ""},
		{"variable that is the handler", symbols{"Handler": mux}, "Handler", ""},
		{"handler function", symbols{"Handler": plain}, "Handler", ""},
		{"nil variable", symbols{"Handler": &none}, "", "the variable Handler is nil"},
		{"nil in a variable", symbols{"Handler": &noMux}, "", "the variable Handler is nil"},
		{"nothing", symbols{}, "", "neither NewHandler nor Handler; it exports A, B"},
		{"wrong function", symbols{"NewHandler": func() string { return "" }}, "", "NewHandler is func() string, want func(map[string]string) (http.Handler, error)"},
		{"wrong variable", symbols{"Handler": new(string)}, "", "Handler is a variable of type string, want a variable of type http.Handler"},
		{"wrong Close", symbols{"Handler": &handler, "Close": func() {}}, "", "Close is func(), want func(context.Context) error"},
		{"error", symbols{"NewHandler": func(map[string]string) (http.Handler, error) { return nil, errors.New("no") }}, "", "NewHandler: no"},
		{"neither", symbols{"NewHandler": func(map[string]string) (http.Handler, error) { return nil, nil }}, "", "neither a handler nor an error"},
		{"panic", symbols{"NewHandler": func(map[string]string) (http.Handler, error) { panic("boo") }}, "", "NewHandler panicked: boo ("},
		{"nil pointer", symbols{"NewHandler": func(map[string]string) (http.Handler, error) { return nil, *(*error)(nil) }}, "", "contract_test.go:"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b, err := bind(test.symbols.find, map[string]string{"k": "v"}, []string{"B", "A"})
			if test.err == "" {
				if err != nil || b.handler == nil || b.origin != test.origin {
					t.Fatalf("%+v, %v", b, err)
				}
				_, closes := test.symbols["Close"]
				if err := b.close(t.Context()); (err != nil) != closes {
					t.Errorf("Close returned %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.err) || fault.Hint(err) == "" || fault.Code(err) != fault.LoadFailed {
				t.Errorf("%v, hint %q, code %d; want %q", err, fault.Hint(err), fault.Code(err), test.err)
			}
		})
	}
}

func TestCloseIsCalledOnce(t *testing.T) {
	calls := 0
	h := newClosable(t, func(context.Context) error { calls++; panic("boo") })
	for range 2 {
		if err := h.Close(); err == nil || !strings.Contains(err.Error(), "Close panicked: boo") {
			t.Errorf("closed with %v", err)
		}
	}
	if calls != 1 {
		t.Errorf("the plugin was closed %d times", calls)
	}
}

func newClosable(t *testing.T, f func(context.Context) error) *Handler {
	t.Helper()
	o, err := capture(func(string, string) {})
	if err != nil {
		t.Fatal(err)
	}
	return &Handler{bound: &bound{close: f}, output: o}
}
