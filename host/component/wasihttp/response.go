package wasihttp

import (
	"errors"
	"fmt"
	"strings"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/component/abi"
	"github.com/appserver-go/appserver/host/component/wasi"
)

// outgoingResponse is a wasi:http/types.outgoing-response.
type outgoingResponse struct {
	status uint16
	fields *fields
	body   *outgoingBody // nil until the guest takes it
}

// outparam is a wasi:http/types.response-outparam.
type outparam struct{ exchange *Exchange }

// set is the function response-outparam.set.
func (o *outparam) set(result abi.Variant) {
	h := o.exchange
	response := &h.live().Response
	h.set = true
	if result.Case == 1 {
		h.failure = refused(result.Value.(abi.Variant))
		return
	}
	r := result.Value.(*outgoingResponse)
	response.Status = int(r.status)
	response.Fields = append(response.Fields, r.fields.list...) // after those of middleware
	r.fields.immutable = true
	if r.body != nil {
		h.body = true
		r.body.attach(h)
	}
}

// errorCodes are the cases of error-code, in their order.
var errorCodes = strings.Fields(`DNS-timeout DNS-error destination-not-found destination-unavailable
	destination-IP-prohibited destination-IP-unroutable connection-refused connection-terminated connection-timeout
	connection-read-timeout connection-write-timeout connection-limit-reached TLS-protocol-error TLS-certificate-error
	TLS-alert-received HTTP-request-denied HTTP-request-length-required HTTP-request-body-size HTTP-request-method-invalid
	HTTP-request-URI-invalid HTTP-request-URI-too-long HTTP-request-header-section-size HTTP-request-header-size
	HTTP-request-trailer-section-size HTTP-request-trailer-size HTTP-response-incomplete HTTP-response-header-section-size
	HTTP-response-header-size HTTP-response-body-size HTTP-response-trailer-section-size HTTP-response-trailer-size
	HTTP-response-transfer-coding HTTP-response-content-coding HTTP-response-timeout HTTP-upgrade-failed HTTP-protocol-error
	loop-detected configuration-error internal-error`)

// Cases of error-code that are made here.
const (
	codeRequestDenied    = 15
	codeResponseBodySize = 28
	codeInternal         = 38
)

func internalError(text string) any { return abi.Variant{Case: codeInternal, Value: abi.Some(text)} }

// statuses are the responses to error codes that are not the guest's own fault.
var statuses = map[string]int{
	"HTTP-request-denied": 403, "HTTP-request-length-required": 411, "HTTP-request-body-size": 413,
	"HTTP-request-method-invalid": 405, "HTTP-request-URI-invalid": 400, "HTTP-request-URI-too-long": 414,
	"HTTP-request-header-section-size": 431, "HTTP-request-header-size": 431,
	"connection-timeout": 504, "connection-read-timeout": 504, "connection-write-timeout": 504, "HTTP-response-timeout": 504,
	"DNS-timeout": 504, "loop-detected": 508, "configuration-error": 500, "internal-error": 500,
}

// refused is the failure of an exchange that the guest answered with an error-code.
func refused(code abi.Variant) error {
	name := errorCodes[code.Case]
	status := statuses[name]
	if status == 0 {
		status = 502
	}
	text := name
	if o, ok := code.Value.(abi.Variant); ok && code.Case == codeInternal && o.Case == 1 {
		text = fmt.Sprintf("%s %q", name, clip(o.Value.(string)))
	}
	return exchange.Fail(status, exchange.BadResponse, "the guest answered with the error %s", text)
}

func clip(s string) string {
	if len(s) > 200 {
		return s[:200] + "…"
	}
	return s
}

var responseFuncs = map[string]abi.Func{
	"[constructor]outgoing-response": func(_ *abi.Call, args []any) any {
		f := args[0].(*fields)
		f.immutable = false
		return &outgoingResponse{status: 200, fields: f}
	},
	"[method]outgoing-response.status-code": func(_ *abi.Call, args []any) any { return args[0].(*outgoingResponse).status },
	"[method]outgoing-response.set-status-code": func(_ *abi.Call, args []any) any {
		status := args[1].(uint16)
		if status < 100 || status > 999 {
			return abi.Err(nil)
		}
		args[0].(*outgoingResponse).status = status
		return abi.OK(nil)
	},
	"[method]outgoing-response.headers": func(c *abi.Call, args []any) any {
		f := args[0].(*outgoingResponse).fields.copied(c)
		f.immutable = true
		return f
	},
	"[method]outgoing-response.body": func(_ *abi.Call, args []any) any {
		r := args[0].(*outgoingResponse)
		if r.body != nil {
			return abi.Err(nil)
		}
		r.body = newOutgoingBody(r.fields.list)
		return abi.OK(r.body)
	},
	"[static]response-outparam.set": func(_ *abi.Call, args []any) any {
		args[0].(*outparam).set(args[1].(abi.Variant))
		return nil
	},
	"http-error-code": func(_ *abi.Call, args []any) any {
		if errors.As(args[0].(*wasi.Error).Err, new(*exchange.Failure)) {
			return abi.Some(internalError(args[0].(*wasi.Error).Err.Error()))
		}
		return abi.None
	},
}
