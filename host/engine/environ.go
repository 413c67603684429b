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

// exportEnviron defines environ_sizes_get and environ_get. Wazero has them, but copies its configuration, with a map
// of all variables so far, for each variable that is added: for a CGI request that is more work than to run a small
// guest.
func (e *Engine) exportEnviron(b wazero.HostModuleBuilder) {
	i32 := api.ValueTypeI32
	for name, f := range map[string]func(env []string, mem api.Memory, a, b uint32) bool{
		"environ_sizes_get": environSizes, "environ_get": environ,
	} {
		call := func(ctx context.Context, mod api.Module, stack []uint64) {
			var env []string
			if i := e.instanceOf(ctx, mod); i != nil {
				env = i.env
			}
			ok := mod.Memory() != nil && f(env, mod.Memory(), uint32(stack[0]), uint32(stack[1]))
			if stack[0] = errnoSuccess; !ok {
				stack[0] = errnoFault
			}
		}
		b.NewFunctionBuilder().
			WithGoModuleFunction(api.GoModuleFunc(call), []api.ValueType{i32, i32}, []api.ValueType{i32}).Export(name)
	}
}

// environSizes writes the number of variables and the bytes they take, each ended by a NUL.
func environSizes(env []string, mem api.Memory, count, size uint32) bool {
	total := 0
	for _, kv := range env {
		total += len(kv) + 1
	}
	return mem.WriteUint32Le(count, uint32(len(env))) && mem.WriteUint32Le(size, uint32(total))
}

// environ writes the variables to buf and pointers to them to list.
func environ(env []string, mem api.Memory, list, buf uint32) bool {
	for n, kv := range env {
		if !mem.WriteUint32Le(list+uint32(n)*4, buf) || !mem.WriteString(buf, kv) || !mem.WriteByte(buf+uint32(len(kv)), 0) {
			return false
		}
		buf += uint32(len(kv)) + 1
	}
	return true
}
