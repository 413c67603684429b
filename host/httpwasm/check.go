package httpwasm

import (
	"fmt"
	"strings"

	"github.com/tetratelabs/wazero/api"

	"github.com/appserver-go/appserver/host/engine"
	"github.com/appserver-go/appserver/internal/fault"
)

// checkExports reports everything that a module lacks to be a guest of this ABI in one error. What it imports is
// checked by host/engine when an instance is made.
func checkExports(mod *engine.Module) error {
	var wrong []string
	if e, ok := mod.Export("memory"); !ok {
		wrong = append(wrong, "it does not export its memory as memory")
	} else if e.Kind != engine.KindMemory {
		wrong = append(wrong, fmt.Sprintf("its export memory is a %s and not a memory", e.Kind))
	}
	for _, want := range []engine.Export{
		{Name: "handle_request", Results: []api.ValueType{i64}},
		{Name: "handle_response", Params: []api.ValueType{i32, i32}},
	} {
		sig := engine.Signature(want.Params, want.Results)
		e, ok := mod.Export(want.Name)
		switch {
		case !ok:
			wrong = append(wrong, fmt.Sprintf("it does not export a function %s %s", want.Name, sig))
		case e.Kind != engine.KindFunc:
			wrong = append(wrong, fmt.Sprintf("its export %s is a %s and not a function %s", want.Name, e.Kind, sig))
		case engine.Signature(e.Params, e.Results) != sig:
			wrong = append(wrong, fmt.Sprintf("its function %s is %s and not %s", want.Name, engine.Signature(e.Params, e.Results), sig))
		}
	}
	wrong = append(wrong, checkHooks(mod)...)
	if len(wrong) == 0 {
		return nil
	}
	return fault.WithCode(fault.LoadFailed,
		"http-wasm guests export memory, handle_request and handle_response; if the module speaks another protocol, set guest.protocol",
		"the module is no http-wasm guest: %s", strings.Join(wrong, "; "))
}
