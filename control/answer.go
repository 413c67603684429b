package control

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/appserver-go/appserver/internal/fault"
)

// requestError is what the client has wrong, with the HTTP status for it.
type requestError struct {
	status int
	err    error
}

func (e *requestError) Error() string { return e.err.Error() }

func (e *requestError) Unwrap() error { return e.err }

func badRequest(hint, format string, args ...any) error {
	return &requestError{status: http.StatusBadRequest, err: fault.New(hint, format, args...)}
}

// readBody decodes a request's body, which may be empty. What is not in the API is refused: a misspelt "quick" must not
// become a slow stop, nor the other way round.
func readBody(r *http.Request, into any) error {
	body := http.MaxBytesReader(nil, r.Body, maxBody)
	dec := json.NewDecoder(body)
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if errors.Is(err, io.EOF) {
		return nil // no body
	}
	if err == nil {
		if _, err = dec.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err == nil {
			err = errors.New("more than one value")
		}
	}
	if errors.As(err, new(*http.MaxBytesError)) {
		return &requestError{status: http.StatusRequestEntityTooLarge, err: fault.New("", "body is larger than %d bytes", maxBody)}
	}
	return badRequest("send a JSON object", "read request: %w", err)
}

// answer runs h and writes what it returns. The deadline for reading the request ends with its body: net/http would
// take it for the end of the client while a slow command runs.
func answer(w http.ResponseWriter, r *http.Request, h func(*http.Request) (any, error)) {
	ctl := http.NewResponseController(w)
	value, err := h(withoutDeadline(ctl, r))
	// Neither can fail on a net.Conn that is open, and on a closed one nothing matters.
	_ = ctl.SetWriteDeadline(time.Now().Add(writeTime))
	if err != nil {
		writeError(w, statusOf(err), err)
		return
	}
	writeJSON(w, http.StatusOK, value)
}

// withoutDeadline returns r with a body at whose end the deadline for reading goes away.
func withoutDeadline(ctl *http.ResponseController, r *http.Request) *http.Request {
	if r.Body == http.NoBody {
		_ = ctl.SetReadDeadline(time.Time{})
		return r
	}
	r.Body = &lastByte{ReadCloser: r.Body, done: func() { _ = ctl.SetReadDeadline(time.Time{}) }}
	return r
}

// lastByte calls done at the end of what it reads.
type lastByte struct {
	io.ReadCloser
	done func()
}

func (b *lastByte) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.done()
	}
	return n, err
}

// statusOf returns the HTTP status for an error.
func statusOf(err error) int {
	var bad *requestError
	switch {
	case errors.As(err, &bad):
		return bad.status
	case errors.Is(err, ErrConflict):
		return http.StatusConflict
	case errors.Is(err, ErrNotFound):
		return http.StatusNotFound
	default:
		return http.StatusInternalServerError
	}
}

func writeError(w http.ResponseWriter, status int, err error) {
	writeJSON(w, status, Error{Error: err.Error(), Hint: fault.Hint(err), Code: fault.Code(err)})
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil { // a value of ours that is no JSON
		status, body = http.StatusInternalServerError, []byte(`{"error":"internal error"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // an error means that the client is gone
}

// wrongMethod answers every method but one.
func wrongMethod(allow string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Allow", allow)
		writeError(w, http.StatusMethodNotAllowed, fault.New("use "+allow, "wrong method"))
	}
}
