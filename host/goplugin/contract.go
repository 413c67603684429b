package goplugin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/appserver-go/appserver/internal/fault"
)

// The names that a plugin exports.
const (
	symbolNew     = "NewHandler"
	symbolHandler = "Handler"
	symbolClose   = "Close"
)

// contractHint is what a plugin that keeps the contract looks like.
const contractHint = "export func NewHandler(config map[string]string) (http.Handler, error), or a variable Handler of type http.Handler"

// lookup finds a symbol of a loaded plugin: a function, or a pointer to a variable.
type lookup func(name string) (symbol any, ok bool)

// bound is a plugin's side of the contract.
type bound struct {
	handler http.Handler
	origin  string // the symbol the handler comes from
	close   func(context.Context) error
}

// bind takes the handler from a loaded plugin, calling NewHandler if it has that. exports are names to show when it
// has neither.
func bind(find lookup, config map[string]string, exports []string) (*bound, error) {
	b := &bound{close: func(context.Context) error { return nil }}
	if symbol, ok := find(symbolClose); ok {
		f, ok := funcOf[func(context.Context) error](symbol)
		if !ok {
			return nil, wrongType(symbolClose, symbol, "func(context.Context) error")
		}
		b.close = f
	}
	var err error
	if symbol, ok := find(symbolNew); ok {
		b.origin = symbolNew
		b.handler, err = construct(symbol, config)
		return b, err
	}
	symbol, ok := find(symbolHandler)
	if !ok {
		return nil, fault.WithCode(fault.LoadFailed, contractHint, "it has neither %s nor %s; it exports %s", symbolNew, symbolHandler, names(exports))
	}
	b.origin = symbolHandler
	b.handler, err = handlerOf(symbol)
	return b, err
}

// funcOf returns a symbol as a function: the function itself, or what a variable holds.
func funcOf[F any](symbol any) (f F, ok bool) {
	if p, isVar := symbol.(*F); isVar {
		return *p, !reflect.ValueOf(*p).IsNil()
	}
	f, ok = symbol.(F)
	return f, ok
}

// construct calls NewHandler.
func construct(symbol any, config map[string]string) (h http.Handler, err error) {
	newHandler, ok := funcOf[func(map[string]string) (http.Handler, error)](symbol)
	if !ok {
		return nil, wrongType(symbolNew, symbol, "func(map[string]string) (http.Handler, error)")
	}
	defer func() {
		if p := recover(); p != nil {
			h, err = nil, panicked(symbolNew, p)
		}
	}()
	h, err = newHandler(config)
	switch {
	case err != nil:
		return nil, fault.WithCode(fault.LoadFailed, "the plugin itself refused to start; mend what it says, or guest.plugin_config", "%s: %w", symbolNew, err)
	case h == nil:
		return nil, fault.WithCode(fault.LoadFailed, "return a handler, or an error", "%s returned neither a handler nor an error", symbolNew)
	}
	return h, nil
}

// handlerOf takes the handler from the symbol Handler: a variable that holds one, whatever its type, or a function of a
// handler's signature.
func handlerOf(symbol any) (http.Handler, error) {
	if f, ok := funcOf[func(http.ResponseWriter, *http.Request)](symbol); ok {
		return http.HandlerFunc(f), nil
	}
	if v := reflect.ValueOf(symbol); v.Kind() == reflect.Pointer && v.Type().Elem().Implements(reflect.TypeFor[http.Handler]()) {
		if h, ok := v.Elem().Interface().(http.Handler); ok && !isNil(h) {
			return h, nil
		}
		return nil, fault.WithCode(fault.LoadFailed, "set it where it is declared or in an init function; main is not called",
			"the variable %s is nil", symbolHandler)
	}
	if h, ok := symbol.(http.Handler); ok { // a variable whose pointer is the handler, like a http.ServeMux
		return h, nil
	}
	return nil, wrongType(symbolHandler, symbol, "a variable of type http.Handler")
}

func isNil(h http.Handler) bool {
	switch v := reflect.ValueOf(h); v.Kind() {
	case reflect.Pointer, reflect.Func, reflect.Map:
		return v.IsNil()
	}
	return false
}

func wrongType(name string, symbol any, want string) error {
	have := reflect.TypeOf(symbol)
	text := "nothing"
	switch {
	case have == nil:
	case have.Kind() == reflect.Pointer:
		text = "a variable of type " + have.Elem().String()
	default:
		text = have.String()
	}
	return fault.WithCode(fault.LoadFailed, contractHint, "%s is %s, want %s", name, text, want)
}

// panicked makes a fault of a panic in what the plugin runs at its start, with the place it came from.
func panicked(where string, p any) error {
	err := fmt.Errorf("%s panicked: %v", where, p)
	if place := panicPlace(string(debug.Stack())); place != "" {
		err = fmt.Errorf("%w (%s)", err, place)
	}
	return fault.WithCode(fault.LoadFailed, "mend the plugin; the worker cannot serve without its handler", "%w", err)
}

// panicPlace finds in a stack the function that panicked: the frame after the last one of the panic itself.
func panicPlace(stack string) string {
	lines := strings.Split(stack, "\n")
	for i, line := range slices.Backward(lines) {
		if !strings.HasPrefix(line, "panic(") {
			continue
		}
		for j := i + 2; j+1 < len(lines); j += 2 { // each frame is its call and its file
			if strings.HasPrefix(lines[j], "runtime.") {
				continue // a nil pointer or an index: the runtime's own frames come first
			}
			file, _, _ := strings.Cut(strings.TrimSpace(lines[j+1]), " ")
			return file
		}
	}
	return ""
}

// names puts names that come from a file into a sentence.
func names(list []string) string {
	const most = 10
	if len(list) == 0 {
		return "nothing of its own"
	}
	sorted := slices.Sorted(slices.Values(list))
	text := clip(strings.Join(sorted[:min(len(sorted), most)], ", "))
	if len(sorted) > most {
		text += fmt.Sprintf(" and %d more", len(sorted)-most)
	}
	return text
}

// Unsupported returns the *fault.Error with which a build without cgo refuses plugins.
func Unsupported() error {
	return fault.WithCode(fault.LoadFailed,
		"use a build with cgo: CGO_ENABLED=1 go build ./cmd/appserver; or compile the handler to WebAssembly (docs/guests.md)",
		"this appserver was built without cgo and cannot load Go plugins")
}

// errStatic is why a statically linked build loads nothing: the runtime would end the process.
var errStatic = errors.New("this appserver is statically linked and cannot load Go plugins")
