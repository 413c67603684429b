package wasihttp

import (
	"testing"

	"github.com/appserver-go/appserver/host/component/wasi"
	"github.com/appserver-go/appserver/host/component/wit"
)

// TestInterfacesAreImplemented compares what the WIT files say with the functions there are.
func TestInterfacesAreImplemented(t *testing.T) {
	all, err := wit.Parse(wasi.WIT, wasi.FilesystemWIT, wasi.SocketsWIT, WIT)
	if err != nil {
		t.Fatal(err)
	}
	funcs := Funcs()
	for name, f := range wasi.New(wasi.Options{}).Funcs() {
		funcs[name] = f
	}
	known := map[string]bool{}
	for iface, i := range all {
		for name := range i.Funcs {
			known[iface+"#"+name] = true
			if funcs[iface+"#"+name] == nil && iface != "wasi:http/incoming-handler" {
				t.Errorf("%s#%s is declared and not implemented", iface, name)
			}
		}
	}
	for name := range funcs {
		if !known[name] {
			t.Errorf("%s is implemented and not declared", name)
		}
	}
	if len(errorCodes) != 39 || errorCodes[codeRequestDenied] != "HTTP-request-denied" || errorCodes[codeInternal] != "internal-error" ||
		errorCodes[codeResponseBodySize] != "HTTP-response-body-size" {
		t.Errorf("%d error codes", len(errorCodes))
	}
}
