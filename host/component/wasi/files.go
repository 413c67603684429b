package wasi

import "github.com/appserver-go/appserver/host/component/abi"

// files are the functions of wasi:filesystem that a guest without directories calls: it asks which there are.
var files = map[string]abi.Func{
	"preopens#get-directories":    func(*abi.Call, []any) any { return []any{} },
	"types#filesystem-error-code": func(*abi.Call, []any) any { return abi.None },
}
