package httpwasm

import (
	"fmt"
	"strings"

	"github.com/appserver-go/appserver/exchange"
)

// fields returns the fields of a kind for reading. Trailers are empty to guests that have not enabled them.
func (in *instance) fields(kind uint32) exchange.Fields {
	in.mustServe()
	switch kind {
	case requestHeader:
		return in.x.Request.Fields
	case responseHeader:
		return in.x.Response.Fields
	case requestTrailer, responseTrailer:
		if in.features&trailers == 0 {
			return nil
		}
		if kind == requestTrailer {
			return in.x.Request.Trailers
		}
		return in.x.Response.Trailers
	}
	panic(badHeaderKind(kind))
}

// changeFields returns the fields of a kind for writing.
func (in *instance) changeFields(kind uint32) *exchange.Fields {
	in.mustServe()
	if (kind == requestTrailer || kind == responseTrailer) && in.features&trailers == 0 {
		panic(fmt.Errorf("the guest set a trailer without the feature trailers"))
	}
	switch kind {
	case requestHeader:
		in.mustChangeRequest("header")
		return in.message.changeFields(&in.x.Request)
	case requestTrailer:
		in.mustChangeRequest("trailers")
		return in.message.changeTrailers(&in.x.Request)
	case responseHeader:
		in.mustChangeResponse("header")
		in.mustNotBeSent("header")
		return &in.x.Response.Fields
	case responseTrailer:
		in.mustChangeResponse("trailers")
		return &in.x.Response.Trailers
	}
	panic(badHeaderKind(kind))
}

func badHeaderKind(kind uint32) error {
	return fmt.Errorf("the guest named the header kind %d, which does not exist", kind)
}

// isHost reports whether a field is the request's Host, which a Request keeps apart from the others.
func isHost(kind uint32, name string) bool {
	return kind == requestHeader && strings.EqualFold(name, "host")
}

// getHeaderNames lists each name once, in the order of first occurrence, with host as the first of a request's.
func (in *instance) getHeaderNames(s []uint64) {
	kind, buf, limit := uint32(s[0]), uint32(s[1]), uint32(s[2])
	fields := in.fields(kind)
	in.unique = in.unique[:0]
	total, count := 0, 0
	host := kind == requestHeader && in.x.Request.Host != ""
	if host {
		total, count = len("host\x00"), 1
	}
	for i := range fields {
		if !in.listed(fields, fields[i].Name) && !isHost(kind, fields[i].Name) {
			in.unique = append(in.unique, i)
			total += len(fields[i].Name) + 1
			count++
		}
	}
	s[0] = uint64(count)<<32 | uint64(uint32(total))
	if uint64(total) > uint64(limit) {
		return
	}
	out := in.view("header names", buf, uint32(total))
	if host {
		out = out[copy(out, "host\x00"):]
	}
	for _, i := range in.unique {
		name := fields[i].Name
		for j := range len(name) {
			out[j] = lower(name[j])
		}
		out[len(name)] = 0
		out = out[len(name)+1:]
	}
}

// listed reports whether one of the unique fields has the name.
func (in *instance) listed(fields exchange.Fields, name string) bool {
	for _, i := range in.unique {
		if strings.EqualFold(fields[i].Name, name) {
			return true
		}
	}
	return false
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

func (in *instance) getHeaderValues(s []uint64) {
	kind, buf, limit := uint32(s[0]), uint32(s[3]), uint32(s[4])
	fields := in.fields(kind)
	name := in.name(uint32(s[1]), uint32(s[2]))
	if isHost(kind, name) {
		s[0] = 0
		if host := in.x.Request.Host; host != "" {
			s[0] = 1<<32 | uint64(uint32(len(host)+1))
			in.putTerminated(host, buf, limit)
		}
		return
	}
	total, count := 0, 0
	for i := range fields {
		if strings.EqualFold(fields[i].Name, name) {
			total += len(fields[i].Value) + 1
			count++
		}
	}
	s[0] = uint64(count)<<32 | uint64(uint32(total))
	if uint64(total) > uint64(limit) {
		return
	}
	for i := range fields {
		if strings.EqualFold(fields[i].Name, name) {
			n := in.putTerminated(fields[i].Value, buf, limit)
			buf, limit = buf+n, limit-n
		}
	}
}

// putTerminated writes s and a NUL if they fit limit and returns their length.
func (in *instance) putTerminated(s string, buf, limit uint32) uint32 {
	n := uint32(len(s) + 1)
	if n <= limit {
		out := in.view("header values", buf, n)
		copy(out, s)
		out[n-1] = 0
	}
	return n
}

func (in *instance) setHeaderValue(s []uint64) { in.putHeader(s, (*exchange.Fields).Set) }

func (in *instance) addHeaderValue(s []uint64) { in.putHeader(s, (*exchange.Fields).Add) }

// putHeader sets or adds a field. Fields of the connection are the front ends' and dropped: from requests here, from
// responses when they are sent. A response's other rules are checked when it is sent; a request's here, since the next
// handler takes its fields for checked.
func (in *instance) putHeader(s []uint64, put func(f *exchange.Fields, name, value string)) {
	kind := uint32(s[0])
	fields := in.changeFields(kind)
	name := in.name(uint32(s[1]), uint32(s[2]))
	view := in.view("header value", uint32(s[3]), uint32(s[4]))
	if len(*fields) >= exchange.MaxResponseFields && !fields.Has(name) || len(view) > exchange.MaxResponseHeadBytes {
		panic(exchange.Fail(502, exchange.BadResponse, "the guest set more than %d header fields or one of more than %d bytes",
			exchange.MaxResponseFields, exchange.MaxResponseHeadBytes))
	}
	value := in.strings.string(view)
	if kind == requestHeader || kind == requestTrailer {
		if !exchange.ValidName(name) || !exchange.ValidValue(value) {
			panic(fmt.Errorf("the guest set the request's header field %q to %q, which is not valid", clip(name, 64), clip(value, 64)))
		}
		if isHost(kind, name) {
			in.x.Request.Host = value // a request has one host, so adding one replaces it
			return
		}
		if exchange.HopByHop(name) {
			return
		}
	}
	put(fields, name, value)
}

func (in *instance) removeHeader(s []uint64) {
	kind := uint32(s[0])
	fields := in.changeFields(kind)
	name := in.name(uint32(s[1]), uint32(s[2]))
	if isHost(kind, name) {
		in.x.Request.Host = ""
		return
	}
	fields.Del(name)
}

// name reads a field's name from the guest's memory.
func (in *instance) name(offset, n uint32) string {
	if n == 0 {
		panic(errNoName)
	}
	view := in.view("header name", offset, n)
	if n > exchange.MaxResponseHeadBytes {
		panic(exchange.Fail(502, exchange.BadResponse, "the guest named a header field with a name of %d bytes", n))
	}
	return in.strings.string(view)
}
