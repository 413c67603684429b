package kit

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"strconv"
)

// bufferSize is how much of a body is gathered before it goes to the host, since each call of the host costs.
const bufferSize = 32 << 10

var errAnswered = errors.New("kit: the next handler has answered this request")

// response is the http.ResponseWriter of an http-wasm guest. It behaves like that of net/http: the head is fixed by
// WriteHeader or the first Write, and a missing Content-Type is guessed from the first bytes of the body.
type response struct {
	host     host
	header   http.Header
	status   int         // 0 until the head is fixed
	fixed    http.Header // header as it was then, trailers left out
	trailer  []string    // canonical names announced in Trailer
	declared int64       // Content-Length, -1 without one
	size     int64
	headSent bool
	body     *bufio.Writer

	answered  bool     // the response is that of the next handler; nothing is to be sent
	replacing bool     // the host holds a response of the next handler, which this one replaces
	stale     []string // the names of the fields that one has
}

func newResponse(h host) *response {
	w := &response{host: h, header: http.Header{}, declared: -1}
	w.body = bufio.NewWriterSize(hostBody{w}, bufferSize)
	return w
}

// Header returns the header fields, to be set before the head is fixed, and trailers, to be set before the end.
func (w *response) Header() http.Header { return w.header }

// WriteHeader fixes the head. Informational statuses are ignored, since the ABI cannot send them.
func (w *response) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("kit: invalid status code %d", status))
	}
	if w.status != 0 || w.answered || status < 200 {
		return
	}
	w.status = status
	w.trailer = announcedTrailers(w.header)
	w.fixed = withoutTrailers(w.header, w.trailer)
	if n, err := strconv.ParseUint(w.fixed.Get("Content-Length"), 10, 63); err == nil {
		w.declared = int64(n)
	} else {
		delete(w.fixed, "Content-Length")
	}
}

// Write appends to the body, with the errors of net/http: http.ErrBodyNotAllowed, http.ErrContentLength.
func (w *response) Write(p []byte) (int, error) {
	if err := w.mayWrite(len(p)); err != nil {
		return 0, err
	}
	return w.body.Write(p)
}

// WriteString is Write for strings.
func (w *response) WriteString(s string) (int, error) {
	if err := w.mayWrite(len(s)); err != nil {
		return 0, err
	}
	return w.body.WriteString(s)
}

func (w *response) mayWrite(n int) error {
	if w.answered {
		return errAnswered
	}
	w.WriteHeader(http.StatusOK)
	if n == 0 {
		return nil
	}
	if w.status == http.StatusNoContent || w.status == http.StatusNotModified {
		return http.ErrBodyNotAllowed
	}
	if w.declared >= 0 && w.size+int64(n) > w.declared {
		return http.ErrContentLength
	}
	w.size += int64(n)
	return nil
}

// Flush hands over what was written so far, to be sent at once. The ABI has no function for that: the kit writes an
// empty piece of body, which appends nothing and which a host may take as the wish to flush.
func (w *response) Flush() {
	if w.answered {
		return
	}
	w.WriteHeader(http.StatusOK)
	w.send()
	w.host.writeBody(ofResponse, nil)
}

// finish ends a response after its handler has returned.
func (w *response) finish() {
	if w.answered {
		return
	}
	w.WriteHeader(http.StatusOK)
	w.send()
	sendTrailers(w.host, w.header, w.trailer)
}

// send hands the buffered body to the host, and before it the head.
func (w *response) send() {
	w.body.Flush() // cannot fail: neither does hostBody
	w.sendHead(nil)
}

// hostBody writes a response's body through to the host.
type hostBody struct{ w *response }

func (b hostBody) Write(p []byte) (int, error) {
	b.w.sendHead(p)
	b.w.host.writeBody(ofResponse, p)
	return len(p), nil
}

// sendHead hands status and header fields to the host, once. First is the beginning of the body.
func (w *response) sendHead(first []byte) {
	if w.headSent {
		return
	}
	w.headSent = true
	_, typed := w.fixed["Content-Type"]
	_, encoded := w.fixed["Content-Encoding"]
	if !typed && !encoded && len(first) > 0 {
		w.fixed.Set("Content-Type", http.DetectContentType(first))
	}
	for _, name := range w.stale {
		w.host.removeHeader(ofResponse, name)
	}
	w.host.setStatus(w.status)
	writeHeader(w.host, ofResponse, w.fixed)
	if w.replacing && len(first) == 0 {
		w.host.writeBody(ofResponse, nil) // drops the body of the next handler
	}
}
