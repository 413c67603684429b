package wit

import (
	"os"
	"testing"
)

func TestOurInterfaces(t *testing.T) {
	var texts []string
	for _, path := range []string{"../wasi/wasi.wit", "../wasihttp/http.wit"} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(b))
	}
	all, err := Parse(texts...)
	if err != nil {
		t.Fatal(err)
	}
	f := all["wasi:io/streams"].Funcs["[method]input-stream.read"]
	const want = "func(self: borrow<wasi:io/streams.input-stream>, len: u64) -> result<list<u8>, variant {last-operation-failed: own<wasi:io/error.error>, closed}>"
	if f == nil || f.String() != want {
		t.Errorf("have %v, want %s", f, want)
	}
	if f := all["wasi:http/types"].Funcs["[static]response-outparam.set"]; f == nil || f.Result != nil || len(f.Params) != 2 {
		t.Errorf("have %v", f)
	}
}
