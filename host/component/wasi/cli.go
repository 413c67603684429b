package wasi

import (
	"io"
	"strings"

	"github.com/appserver-go/appserver/host/component/abi"
	"github.com/appserver-go/appserver/host/engine"
)

// printed is standard output or error. It holds nothing, so that a guest's handle of it can be in an image.
type printed struct{ to func(Env) io.Writer }

func (printed) Permit(*abi.Call) (uint64, error) { return permit, nil }

func (s printed) Write(c *abi.Call, p []byte) error {
	_, err := s.to(env(c)).Write(p)
	return err
}

func (printed) Flush(*abi.Call) error { return nil }

// nothing is standard input.
type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, io.EOF }

// Keep implements abi.Keeper for standard output and error.
func (s *OutputStream) Keep() any {
	if _, ok := s.Sink.(printed); !ok {
		return nil
	}
	return &OutputStream{Sink: s.Sink, allowed: s.allowed}
}

// Keep implements abi.Keeper for standard input.
func (s *InputStream) Keep() any {
	if s.Reader != (nothing{}) {
		return nil
	}
	return &InputStream{Reader: s.Reader, err: s.err}
}

// cli are the functions of wasi:cli.
func (h *Host) cli() map[string]abi.Func {
	none := func(*abi.Call, []any) any { return abi.None }
	return map[string]abi.Func{
		"environment#get-environment": func(*abi.Call, []any) any {
			list := []any{}
			for _, kv := range h.opts.Env {
				name, value, _ := strings.Cut(kv, "=")
				list = append(list, []any{name, value})
			}
			return list
		},
		"environment#get-arguments": func(*abi.Call, []any) any {
			list := []any{}
			for _, a := range h.opts.Args {
				list = append(list, a)
			}
			return list
		},
		"environment#initial-cwd":             none,
		"exit#exit":                           func(_ *abi.Call, args []any) any { panic(engine.Exit(args[0].(abi.Variant).Case)) },
		"exit#exit-with-code":                 func(_ *abi.Call, args []any) any { panic(engine.Exit(uint32(args[0].(uint8)))) },
		"stdin#get-stdin":                     func(*abi.Call, []any) any { return &InputStream{Reader: nothing{}} },
		"stdout#get-stdout":                   func(*abi.Call, []any) any { return &OutputStream{Sink: printed{Env.Stdout}} },
		"stderr#get-stderr":                   func(*abi.Call, []any) any { return &OutputStream{Sink: printed{Env.Stderr}} },
		"terminal-stdin#get-terminal-stdin":   none,
		"terminal-stdout#get-terminal-stdout": none,
		"terminal-stderr#get-terminal-stderr": none,
	}
}
