package wasihttp

import (
	"errors"
	"strings"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/component/abi"
)

// outgoingRequest is a wasi:http/types.outgoing-request: data, until somebody sends it.
type outgoingRequest struct {
	method, scheme, path, authority any
	fields                          *fields
	body                            *outgoingBody
}

// requestOptions is a wasi:http/types.request-options: timeouts by name.
type requestOptions map[string]any

// outgoingFuncs are the functions about requests of the guest's own. The network is closed to guests: every request is
// denied.
var outgoingFuncs = func() map[string]abi.Func {
	all := map[string]abi.Func{
		"wasi:http/types#[constructor]outgoing-request": func(_ *abi.Call, args []any) any {
			f := args[0].(*fields)
			f.immutable = false
			return &outgoingRequest{method: abi.Enum(0), scheme: abi.None, path: abi.None, authority: abi.None, fields: f}
		},
		"wasi:http/types#[method]outgoing-request.headers": func(c *abi.Call, args []any) any {
			f := args[0].(*outgoingRequest).fields.copied(c)
			f.immutable = true
			return f
		},
		"wasi:http/types#[method]outgoing-request.body": func(_ *abi.Call, args []any) any {
			r := args[0].(*outgoingRequest)
			if r.body != nil {
				return abi.Err(nil)
			}
			r.body = newOutgoingBody(r.fields.list)
			return abi.OK(r.body)
		},
		"wasi:http/types#[constructor]request-options": func(*abi.Call, []any) any { return requestOptions{} },
		"wasi:http/outgoing-handler#handle": func(*abi.Call, []any) any {
			return abi.Err(abi.Enum(codeRequestDenied))
		},
	}
	for _, name := range []string{
		"incoming-response.status", "incoming-response.headers", "incoming-response.consume",
		"future-incoming-response.subscribe", "future-incoming-response.get",
	} {
		all["wasi:http/types#[method]"+name] = func(*abi.Call, []any) any {
			panic(errors.New("a response to a request that was denied")) // of which nobody can have a handle
		}
	}
	for name, a := range attributes {
		all["wasi:http/types#[method]outgoing-request."+name] = func(_ *abi.Call, args []any) any {
			return *a.of(args[0].(*outgoingRequest))
		}
		all["wasi:http/types#[method]outgoing-request.set-"+name] = func(_ *abi.Call, args []any) any {
			if !a.valid(text(args[1])) {
				return abi.Err(nil)
			}
			*a.of(args[0].(*outgoingRequest)) = args[1]
			return abi.OK(nil)
		}
	}
	for _, name := range []string{"connect-timeout", "first-byte-timeout", "between-bytes-timeout"} {
		all["wasi:http/types#[method]request-options."+name] = func(_ *abi.Call, args []any) any {
			if v, ok := args[0].(requestOptions)[name]; ok {
				return v
			}
			return abi.None
		}
		all["wasi:http/types#[method]request-options.set-"+name] = func(_ *abi.Call, args []any) any {
			args[0].(requestOptions)[name] = args[1]
			return abi.OK(nil)
		}
	}
	return all
}()

// attributes are what an outgoing-request has beside fields and body.
var attributes = map[string]struct {
	of    func(*outgoingRequest) *any
	valid func(string) bool
}{
	"method":          {func(r *outgoingRequest) *any { return &r.method }, func(s string) bool { return s == "" || exchange.ValidName(s) }},
	"scheme":          {func(r *outgoingRequest) *any { return &r.scheme }, validScheme},
	"path-with-query": {func(r *outgoingRequest) *any { return &r.path }, validTarget},
	"authority":       {func(r *outgoingRequest) *any { return &r.authority }, validAuthority},
}

// text returns the string in a value of one of the attributes' types, "" if it has none.
func text(v any) string {
	for {
		switch x := v.(type) {
		case string:
			return x
		case abi.Variant:
			v = x.Value
		default:
			return ""
		}
	}
}

// validScheme reports whether s is a scheme (RFC 3986 §3.1), or missing.
func validScheme(s string) bool {
	for i, c := range []byte(s) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (i == 0 || !strings.ContainsRune("0123456789+-.", rune(c))) {
			return false
		}
	}
	return true
}

// visible reports whether s is visible ASCII without the characters of but.
func visible(s, but string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' || strings.IndexByte(but, c) >= 0 {
			return false
		}
	}
	return true
}

// validTarget reports whether s may be a path with a query.
func validTarget(s string) bool { return visible(s, "#") }

// validAuthority reports whether s may be an authority.
func validAuthority(s string) bool { return visible(s, "/?#\\") }
