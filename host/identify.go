package host

import (
	"fmt"
	"strings"

	"github.com/appserver-go/appserver/host/engine"
	"github.com/appserver-go/appserver/internal/fault"
)

// Protocols that a guest can speak, as the guest.protocol setting names them.
const (
	ProtocolAuto     = "auto" // look at the module
	ProtocolHTTPWasm = "http-wasm"
	ProtocolCGI      = "cgi"
	ProtocolStdio    = "stdio" // cannot be told from cgi by the module
	ProtocolWWS      = "wws"   // nor can this
)

// ProtocolPlugin is the protocol of Go plugins. It is seen from the file and cannot be configured.
const ProtocolPlugin = "go-plugin"

// ProtocolComponent is the protocol of WebAssembly components. It is seen from the file and cannot be configured.
const ProtocolComponent = "wasi-http"

// identify returns the protocol that a module speaks: the one that was configured, or what its imports and exports say.
func identify(m *engine.Module, configured string) (string, error) {
	switch configured {
	case ProtocolHTTPWasm, ProtocolCGI, ProtocolStdio, ProtocolWWS:
		return configured, nil
	case ProtocolAuto, "":
	default:
		return "", fault.WithCode(fault.LoadFailed, "guest.protocol is auto, http-wasm, cgi, stdio or wws", "the protocol %q is unknown", configured)
	}
	for _, i := range m.Imports() {
		if i.Module == "http_handler" {
			return ProtocolHTTPWasm, nil
		}
	}
	if _, ok := m.Export("handle_request"); ok {
		return ProtocolHTTPWasm, nil
	}
	if _, ok := m.Export("_start"); ok {
		return ProtocolCGI, nil
	}
	return "", fault.WithCode(fault.LoadFailed, unknownHint(m),
		"the module is no guest: it neither imports http_handler or exports handle_request (http-wasm), nor exports _start (cgi); it imports %s and exports %s",
		list(importNames(m)), list(exportNames(m)))
}

// foreign maps modules that guests of other hosts import to where they come from.
var foreign = map[string]string{
	"gojs":                     "it is built with GOOS=js; use GOOS=wasip1",
	"go":                       "it is built with GOOS=js; use GOOS=wasip1",
	"wbg":                      "it is built with wasm-bindgen, for JavaScript hosts; use the target wasm32-wasip1",
	"__wbindgen_placeholder__": "it is built with wasm-bindgen, for JavaScript hosts; use the target wasm32-wasip1",
	"extism:host/env":          "it is an Extism plugin; write an http-wasm handler or a WASI command",
	"wasi_unstable":            "it is built for a preview of WASI before preview 1; build it with a newer toolchain",
	"spin_sdk":                 "it is built for Spin; write an http-wasm handler or a WASI command",
}

func unknownHint(m *engine.Module) string {
	for _, i := range m.Imports() {
		if hint, ok := foreign[i.Module]; ok {
			return hint
		}
	}
	return "write an http-wasm handler or a WASI command that speaks CGI, or name what the module speaks with guest.protocol"
}

func importNames(m *engine.Module) []string {
	var names []string
	for _, i := range m.Imports() {
		names = append(names, i.Module+"."+i.Name)
	}
	return names
}

func exportNames(m *engine.Module) []string {
	var names []string
	for _, e := range m.Exports() {
		names = append(names, e.Name)
	}
	return names
}

// list puts the first names in a sentence. They come from the module, so they are quoted.
func list(names []string) string {
	const most = 10
	if len(names) == 0 {
		return "nothing"
	}
	var b strings.Builder
	for i, name := range names {
		if i == most {
			fmt.Fprintf(&b, " and %d more", len(names)-most)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q", clip(name))
	}
	return b.String()
}

func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}
