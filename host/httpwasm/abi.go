package httpwasm

import (
	"context"
	"fmt"

	"github.com/tetratelabs/wazero/api"

	"github.com/appserver-go/appserver/host/engine"
)

// hostModule is the module name that guests import the host's functions from.
const hostModule = "http_handler"

// The features a guest can enable. All of them are supported.
const (
	bufferRequest  uint32 = 1 << iota // the request's body can be read again by the next handler
	bufferResponse                    // the next handler's response waits for handle_response
	trailers                          // trailer fields can be read and set

	supported = bufferRequest | bufferResponse | trailers
)

// The kinds of header functions.
const (
	requestHeader uint32 = iota
	responseHeader
	requestTrailer
	responseTrailer
)

// The kinds of body functions.
const (
	requestBodyKind uint32 = iota
	responseBodyKind
)

// hostFunc is a function of the ABI. fn finds its parameters in the stack, i32 with 32 bits of garbage above them, and
// leaves its result there. It reports errors by panicking with them, which the guest sees as a trap.
type hostFunc struct {
	name   string
	params int // all of type i32
	result api.ValueType
	fn     func(in *instance, stack []uint64)
}

const (
	i32  = api.ValueTypeI32
	i64  = api.ValueTypeI64
	void = api.ValueType(0)
)

// hostFuncs returns the functions of the ABI.
func hostFuncs() []hostFunc {
	return []hostFunc{
		{"enable_features", 1, i32, (*instance).enableFeatures},
		{"get_config", 2, i32, (*instance).getConfig},
		{"log_enabled", 1, i32, (*instance).logEnabled},
		{"log", 3, void, (*instance).log},
		{"get_header_names", 3, i64, (*instance).getHeaderNames},
		{"get_header_values", 5, i64, (*instance).getHeaderValues},
		{"set_header_value", 5, void, (*instance).setHeaderValue},
		{"add_header_value", 5, void, (*instance).addHeaderValue},
		{"remove_header", 3, void, (*instance).removeHeader},
		{"read_body", 3, i64, (*instance).readBody},
		{"write_body", 3, void, (*instance).writeBody},
		{"get_method", 2, i32, (*instance).getMethod},
		{"set_method", 2, void, (*instance).setMethod},
		{"get_uri", 2, i32, (*instance).getURI},
		{"set_uri", 2, void, (*instance).setURI},
		{"get_protocol_version", 2, i32, (*instance).getProtocolVersion},
		{"get_source_addr", 2, i32, (*instance).getSourceAddr},
		{"get_status_code", 0, i32, (*instance).getStatusCode},
		{"set_status_code", 1, void, (*instance).setStatusCode},
	}
}

func (f hostFunc) types() (params, results []api.ValueType) {
	for range f.params {
		params = append(params, i32)
	}
	if f.result != void {
		results = append(results, f.result)
	}
	return params, results
}

// defineHost makes the host module exist in an engine. Its functions find the instance that calls them by the call's
// context, so all guests of an engine share one.
func defineHost(ctx context.Context, eng *engine.Engine) error {
	if defined(ctx, eng) {
		return nil
	}
	b := eng.HostModule(hostModule)
	for _, f := range hostFuncs() {
		params, results := f.types()
		fn := f.fn
		b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, mod api.Module, stack []uint64) {
			in := current(ctx)
			if in.memory == nil { // the instance is still starting
				in.memory = mod.Memory()
			}
			fn(in, stack)
		}), params, results).Export(f.name)
	}
	if _, err := b.Instantiate(ctx); err != nil {
		return fmt.Errorf("define the functions of the module %s: %w", hostModule, err)
	}
	return nil
}

// probe is a module that imports http_handler.enable_features and does nothing.
const probe = "\x00asm\x01\x00\x00\x00" +
	"\x01\x06\x01\x60\x01\x7f\x01\x7f" + // type 0 is (i32) -> (i32)
	"\x02\x20\x01\x0chttp_handler\x0fenable_features\x00\x00"

// defined reports whether the engine has the host module, by whether a module that imports it can be linked. Defining
// it again to see is no way: wazero, which refuses that, takes the first definition away from under its guests.
func defined(ctx context.Context, eng *engine.Engine) bool {
	ctx = context.WithoutCancel(ctx) // a start that is out of time must not be told that the module is missing
	mod, err := eng.Compile(ctx, []byte(probe))
	if err != nil {
		return false
	}
	defer func() { _ = mod.Close(ctx) }()
	in, err := mod.Instantiate(ctx, engine.Spec{})
	return err == nil && in.Close() == nil
}
