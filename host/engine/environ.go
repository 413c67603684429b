package engine

import (
	"context"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// WASI preview 1 error numbers.
const (
	errnoSuccess = 0
	errnoFault   = 21
)

// instanceKey is the context key under which host functions find the instance while it is being instantiated.
type instanceKey struct{}

// instanceOf returns the instance that a host function was called by.
func (e *Engine) instanceOf(ctx context.Context, mod api.Module) *Instance {
	if i, ok := e.live.Load(mod); ok {
		return i.(*Instance)
	}
	i, _ := ctx.Value(instanceKey{}).(*Instance)
	return i
}

// exportStrings defines the functions by which a guest gets its arguments and its environment. Wazero has them, but
// copies its configuration, with a map of all variables so far, for each variable that is added: for a CGI request that is
// more work than to run a small guest. And an instance that is used again gets others; see Rename.
func (e *Engine) exportStrings(b wazero.HostModuleBuilder) {
	i32 := api.ValueTypeI32
	args := func(i *Instance) []string { return i.args }
	env := func(i *Instance) []string { return i.env }
	for name, f := range map[string]struct {
		list func(*Instance) []string
		get  func(list []string, mem api.Memory, a, b uint32) bool
	}{
		"args_sizes_get": {args, stringSizes}, "args_get": {args, stringList},
		"environ_sizes_get": {env, stringSizes}, "environ_get": {env, stringList},
	} {
		call := func(ctx context.Context, mod api.Module, stack []uint64) {
			var list []string
			if i := e.instanceOf(ctx, mod); i != nil {
				list = f.list(i)
			}
			ok := mod.Memory() != nil && f.get(list, mod.Memory(), uint32(stack[0]), uint32(stack[1]))
			if stack[0] = errnoSuccess; !ok {
				stack[0] = errnoFault
			}
		}
		b.NewFunctionBuilder().
			WithGoModuleFunction(api.GoModuleFunc(call), []api.ValueType{i32, i32}, []api.ValueType{i32}).Export(name)
	}
}

// stringSizes writes the number of strings and the bytes they take, each ended by a NUL.
func stringSizes(list []string, mem api.Memory, count, size uint32) bool {
	total := 0
	for _, s := range list {
		total += len(s) + 1
	}
	return mem.WriteUint32Le(count, uint32(len(list))) && mem.WriteUint32Le(size, uint32(total))
}

// stringList writes the strings to buf and pointers to them to at.
func stringList(list []string, mem api.Memory, at, buf uint32) bool {
	for n, s := range list {
		if !mem.WriteUint32Le(at+uint32(n)*4, buf) || !mem.WriteString(buf, s) || !mem.WriteByte(buf+uint32(len(s)), 0) {
			return false
		}
		buf += uint32(len(s)) + 1
	}
	return true
}
