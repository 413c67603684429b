package kit

import (
	"io"
	"maps"
	"net/http"
	"runtime"
	"slices"
)

// passing is one request on its way through this guest and, if the handler says so, the next.
type passing struct {
	response *response
	original original
	called   bool          // the handler called next
	passed   chan struct{} // closed when that has been made ready for the host
	result   chan bool     // whether the next handler failed
	done     chan struct{} // closed when the handler is through
}

// passingKey is the key of the *passing in a request's context.
type passingKey struct{}

// original is what the host knows of a request, to tell what the handler changed.
type original struct {
	method, uri, host string
	header            http.Header
	body              io.ReadCloser
}

func newPassing(w *response) *passing {
	return &passing{response: w, passed: make(chan struct{}), result: make(chan bool), done: make(chan struct{})}
}

func snapshot(r *http.Request) original {
	return original{method: r.Method, uri: r.URL.RequestURI(), host: r.Host, header: r.Header.Clone(), body: r.Body}
}

// next is the handler after this guest, as HandleMiddleware describes it.
func (a *adapter) next(w http.ResponseWriter, r *http.Request) {
	p, ok := r.Context().Value(passingKey{}).(*passing)
	switch {
	case !ok:
		panic("kit: next called with a request whose context does not come from the original one")
	case p.response.status != 0 || p.called:
		panic("kit: next called twice, or after the request was answered")
	}
	wrapped := w != http.ResponseWriter(p.response)
	if wrapped || len(p.response.header) > 0 {
		if a.host.enableFeatures(bufferResponse)&bufferResponse == 0 {
			panic("kit: this host cannot buffer responses, so a middleware cannot change them")
		}
	}
	p.called = true
	p.original.forward(a.host, r)
	close(p.passed)
	if failed := <-p.result; failed {
		runtime.Goexit()
	}
	if wrapped {
		p.response.replace(w)
	} else {
		p.response.amend()
	}
}

// forward tells the host what the handler changed of the request.
func (o original) forward(h host, r *http.Request) {
	if r.Method != o.method {
		h.setMethod(r.Method)
	}
	if uri := r.URL.RequestURI(); uri != o.uri {
		h.setURI(uri)
	}
	if r.Host != o.host {
		h.setHeader(ofRequest, "Host", r.Host)
	}
	changed := http.Header{}
	for name, values := range r.Header {
		if !slices.Equal(values, o.header[name]) {
			changed[name] = values
		}
	}
	for name := range o.header {
		if len(r.Header[name]) == 0 {
			h.removeHeader(ofRequest, name)
		}
	}
	writeHeader(h, ofRequest, changed)
	if r.Body != o.body {
		sendBody(h, r.Body)
	}
}

// sendBody replaces the request's body. An error of the handler's own reader cannot be told to the next handler, so it
// ends the request.
func sendBody(h host, r io.Reader) {
	h.writeBody(ofRequest, nil)
	if r == nil {
		return
	}
	buf := make([]byte, bufferSize)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			h.writeBody(ofRequest, buf[:n])
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			panic(err)
		}
	}
}

// amend adds the fields the handler set before it called next to a response that has none of the name.
func (w *response) amend() {
	w.answered = true
	header := withoutTrailers(w.header, announcedTrailers(w.header))
	if len(header) == 0 {
		return
	}
	theirs := readHeader(w.host, ofResponse)
	maps.DeleteFunc(header, func(name string, _ []string) bool { return theirs.Values(name) != nil })
	writeHeader(w.host, ofResponse, header)
}

// replace gives the response of the next handler to the handler's own ResponseWriter; what that writes to w becomes
// the response. The whole body is read first, because writing replaces it.
func (w *response) replace(to http.ResponseWriter) {
	status, header := w.host.status(), readHeader(w.host, ofResponse)
	var body []byte
	buf := make([]byte, bufferSize)
	for {
		n, eof := w.host.readBody(ofResponse, buf)
		body = append(body, buf[:n]...)
		if eof {
			break
		}
	}
	w.replacing, w.stale = true, slices.Collect(maps.Keys(header))
	maps.Copy(to.Header(), header)
	to.WriteHeader(status)
	if len(body) > 0 {
		_, _ = to.Write(body) // the handler's own writer, whose errors it knows of
	}
}
