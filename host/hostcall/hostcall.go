// Package hostcall defines the module "appserver": the functions by which guests of any protocol call what is beyond
// their sandbox. docs/boundary.md describes them. What they do, and who may do it, is package boundary's; here are
// pointers and numbers. Package host defines the module where a guest imports it.
package hostcall

import (
	"context"
	"fmt"

	"github.com/tetratelabs/wazero/api"

	"github.com/appserver-go/appserver/host/boundary"
	"github.com/appserver-go/appserver/host/engine"
)

// Module is what guests import.
const Module = engine.CallsModule

// errnoNone is a call's result when all is well and there is nothing else to say.
const errnoNone = 0

// hostFunc is a function of the module: parameters of type i32, and a result of type i32 that is negative for an error.
type hostFunc struct {
	name   string
	params int
	fn     func(c *call) (int32, error)
}

// hostFuncs returns the functions.
func hostFuncs() []hostFunc {
	return []hostFunc{
		{"http_open", 4, httpOpen},
		{"http_write", 3, httpWrite},
		{"http_finish", 1, httpFinish},
		{"http_fields", 4, httpFields},
		{"http_read", 3, httpRead},
		{"http_close", 1, httpClose},
	}
}

// call is one call of a function.
type call struct {
	scope *boundary.Scope
	mem   api.Memory
	stack []uint64
}

// i32 returns a parameter. What is above its 32 bits is not defined.
func (c *call) i32(n int) uint32 { return uint32(c.stack[n]) }

// view returns the guest's memory that two parameters tell, not a copy. A guest whose pointers lead nowhere is broken: it
// traps, as it does for its own loads.
func (c *call) view(n int) []byte {
	at, size := c.i32(n), c.i32(n+1)
	if size == 0 {
		return nil
	}
	if c.mem == nil {
		panic(fmt.Errorf("the guest has no memory"))
	}
	b, ok := c.mem.Read(at, size)
	if !ok {
		panic(fmt.Errorf("%d bytes at %d are outside of the guest's memory", size, at))
	}
	return b
}

// put writes a text to the memory that two parameters tell, if there is room for all of it, and returns its length.
func (c *call) put(n int, s string) int32 {
	if room := c.view(n); len(room) >= len(s) {
		copy(room, s)
	}
	return int32(len(s)) // all texts have limits far below
}

// Define makes the module exist in an engine, if it does not.
func Define(ctx context.Context, eng *engine.Engine) error {
	if eng.HasHostModule(Module) {
		return nil
	}
	b := eng.HostModule(Module)
	for _, f := range append(hostFuncs(), hostFunc{"error_text", 2, nil}) {
		params := make([]api.ValueType, f.params)
		for i := range params {
			params[i] = api.ValueTypeI32
		}
		fn := run(f.fn)
		if f.fn == nil {
			fn = errorText
		}
		b.NewFunctionBuilder().WithGoModuleFunction(fn, params, []api.ValueType{api.ValueTypeI32}).Export(f.name)
	}
	if _, err := b.Instantiate(ctx); err != nil {
		return fmt.Errorf("define the functions of the module %s: %w", Module, err)
	}
	return nil
}

// run makes a function of wazero's of one of ours. When the call's context is done it does not return to the guest, which
// may not be interruptible, but ends the call.
func run(fn func(c *call) (int32, error)) api.GoModuleFunc {
	return func(ctx context.Context, mod api.Module, stack []uint64) {
		scope := boundary.Current(ctx)
		if scope == nil {
			stack[0] = result(int32(boundary.NoRequest))
			return
		}
		n, err := fn(&call{scope, mod.Memory(), stack})
		if err != nil {
			scope.Settle(ctx)
		}
		if ctx.Err() != nil {
			panic(ctx.Err())
		}
		if err != nil {
			n = int32(scope.Fail(err))
		}
		stack[0] = result(n)
	}
}

// result is an i32 as the stack holds it, with zeros above.
func result(n int32) uint64 { return uint64(uint32(n)) }

// errorText is error_text(buf, limit): what the latest error was, in words.
func errorText(ctx context.Context, mod api.Module, stack []uint64) {
	text := "no request is being served: a guest that starts cannot call out"
	if scope := boundary.Current(ctx); scope != nil {
		text = scope.LastError()
	}
	stack[0] = result((&call{mem: mod.Memory(), stack: stack}).put(0, text))
}

// httpOpen is http_open(head, head_len, body, timeout).
func httpOpen(c *call) (int32, error) {
	if n := c.i32(1); n > boundary.MaxHead {
		return 0, boundary.Failf(boundary.Limit, "the head is longer than %d bytes", boundary.MaxHead)
	}
	return c.scope.Open(string(c.view(0)), c.i32(2) != 0, int64(c.i32(3)))
}

// httpWrite is http_write(handle, body, body_len).
func httpWrite(c *call) (int32, error) {
	return errnoNone, c.scope.Write(int32(c.i32(0)), c.view(1))
}

// httpFinish is http_finish(handle).
func httpFinish(c *call) (int32, error) {
	status, err := c.scope.Finish(int32(c.i32(0)))
	return int32(status), err
}

// httpFields is http_fields(handle, kind, buf, limit).
func httpFields(c *call) (int32, error) {
	text, err := c.scope.Fields(int32(c.i32(0)), c.i32(1) != 0)
	if err != nil {
		return 0, err
	}
	return c.put(2, text), nil
}

// maxRead is the most bytes of a body that one call returns.
const maxRead = 1 << 20

// httpRead is http_read(handle, buf, limit).
func httpRead(c *call) (int32, error) {
	p := c.view(1)
	if len(p) == 0 {
		return 0, boundary.Failf(boundary.Invalid, "there is no room to read into")
	}
	n, err := c.scope.Read(int32(c.i32(0)), p[:min(len(p), maxRead)])
	return int32(n), err
}

// httpClose is http_close(handle).
func httpClose(c *call) (int32, error) {
	return errnoNone, c.scope.CloseCall(int32(c.i32(0)))
}
