package wasihttp

import (
	"strings"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/component/abi"
	"github.com/appserver-go/appserver/host/component/wasi"
)

// outgoingRequest is a wasi:http/types.outgoing-request: data, until somebody sends it.
type outgoingRequest struct {
	method, scheme, path, authority any
	fields                          *fields
	body                            *outgoingBody
}

// firstByte is the timeout that can be set; the others are within it, or within the request that is being served.
const firstByte = "first-byte-timeout"

// requestOptions is a wasi:http/types.request-options: timeouts by name.
type requestOptions map[string]any

// outgoingFuncs are the functions about requests of the guest's own.
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
		"wasi:http/outgoing-handler#handle": func(c *abi.Call, args []any) any {
			options := requestOptions{}
			if o := args[1].(abi.Variant); o.Case == 1 {
				options = o.Value.(requestOptions)
			}
			return send(c, args[0].(*outgoingRequest), options)
		},
		"wasi:http/types#[method]future-incoming-response.subscribe": func(_ *abi.Call, args []any) any {
			return &wasi.Pollable{Done: args[0].(*futureResponse).done}
		},
		"wasi:http/types#[method]future-incoming-response.get": func(_ *abi.Call, args []any) any {
			return args[0].(*futureResponse).get()
		},
		"wasi:http/types#[method]incoming-response.status": func(_ *abi.Call, args []any) any {
			return uint16(args[0].(*incomingResponse).Status)
		},
		"wasi:http/types#[method]incoming-response.headers": func(c *abi.Call, args []any) any {
			return incomingFields(c, args[0].(*incomingResponse).Fields)
		},
		"wasi:http/types#[method]incoming-response.consume": func(_ *abi.Call, args []any) any {
			r := args[0].(*incomingResponse)
			if r.consumed {
				return abi.Err(nil)
			}
			r.consumed = true
			return abi.OK(&incomingBody{body: r.Body, trailers: r.Trailers})
		},
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
	for _, name := range []string{"connect-timeout", firstByte, "between-bytes-timeout"} {
		all["wasi:http/types#[method]request-options."+name] = func(_ *abi.Call, args []any) any {
			if v, ok := args[0].(requestOptions)[name]; ok {
				return v
			}
			return abi.None
		}
		all["wasi:http/types#[method]request-options.set-"+name] = func(_ *abi.Call, args []any) any {
			if name != firstByte {
				return abi.Err(nil) // which says that it is not supported
			}
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
