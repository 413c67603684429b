package boundary

import (
	"context"
	"sync"
	"time"
)

// Scope is what one request of a guest has open beyond the sandbox. Everything in it ends with the request, so that
// nothing of it is in an instance that is reset, or in a memory image. One goroutine at a time may use it, the guest's;
// Close may be called by another.
type Scope struct {
	boundary *Boundary
	request  context.Context
	running  sync.WaitGroup // calls that are sent
	ended    chan struct{}  // closed by Close

	mu     sync.Mutex
	ctx    context.Context // of the calls; nil before the first, since most requests make none
	cancel context.CancelCauseFunc
	calls  map[int32]*call
	made   int32 // calls so far; the last one is the latest handle
	closed bool
	last   string // the text of the latest error
}

type scopeKey struct{}

// Begin returns a context for a request with a Scope in it, which the caller closes when the request is over.
func (b *Boundary) Begin(ctx context.Context) (context.Context, *Scope) {
	s := &Scope{boundary: b, request: ctx, ended: make(chan struct{})}
	return context.WithValue(ctx, scopeKey{}, s), s
}

// Current returns the Scope of the request that is served under ctx, or nil.
func Current(ctx context.Context) *Scope {
	s, _ := ctx.Value(scopeKey{}).(*Scope)
	return s
}

// Close ends what is open, and waits for it.
func (s *Scope) Close() {
	s.mu.Lock()
	if !s.closed {
		close(s.ended)
	}
	s.closed = true
	calls := s.calls
	s.calls = nil
	s.mu.Unlock()
	if s.cancel == nil {
		return
	}
	s.cancel(errOver)
	for _, c := range calls {
		c.close()
	}
	s.running.Wait()
}

// maxBehind is how long a guest's run may last longer than its request before it is taken to go on.
const maxBehind = 100 * time.Millisecond

// Settle is called when something has failed under ctx, the context of the guest's run. If that is because the request's time is
// up, the run of most guests ends with it, but a moment later: Settle waits for that, so that the guest does not answer meanwhile.
func (s *Scope) Settle(ctx context.Context) {
	if s.request.Err() == nil || ctx.Err() != nil {
		return
	}
	t := time.NewTimer(maxBehind)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-s.ended:
	case <-t.C:
	}
}

// Fail notes an error for LastError and returns its code.
func (s *Scope) Fail(err error) Code {
	e := asError(s.request, err)
	s.mu.Lock()
	s.last = e.Text
	s.mu.Unlock()
	return e.Code
}

// LastError returns the text of the latest error, for people.
func (s *Scope) LastError() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// Open begins a call: it sends the head, and with body what Write is given. More than one may be open. The time may be
// shorter than that of the settings; 0 means that one. Errors are an *Error.
func (s *Scope) Open(text string, body bool, timeout int64) (handle int32, err error) {
	h, err := parseHead(text)
	if err != nil {
		return 0, err
	}
	if err := s.boundary.Check(h.target); err != nil {
		return 0, err
	}
	o := &s.boundary.opts
	if o.MaxBody > 0 && h.length > o.MaxBody {
		return 0, Failf(Limit, "the body is longer than guest.outbound_body, %d bytes", o.MaxBody)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return 0, errOver
	case len(s.calls) >= MaxOpen:
		return 0, Failf(Limit, "%d calls are open, more are not allowed at a time", MaxOpen)
	case o.Calls > 0 && int(s.made) >= o.Calls:
		return 0, Failf(Limit, "a request may make %d calls: guest.outbound_calls", o.Calls)
	}
	if s.ctx == nil {
		s.ctx, s.cancel = context.WithCancelCause(s.request)
		s.calls = map[int32]*call{}
	}
	s.made++
	s.calls[s.made] = s.start(h, body, timeout)
	return s.made, nil
}

// find returns an open call.
func (s *Scope) find(handle int32) (*call, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errOver
	}
	if c, ok := s.calls[handle]; ok {
		return c, nil
	}
	return nil, Failf(BadHandle, "the call %d is not open", handle)
}

// Write sends a piece of a call's body. It does not keep p. Errors are those of Open; with the code Unwanted the other
// side needs no more of it, which is no failure of the call.
func (s *Scope) Write(handle int32, p []byte) error {
	c, err := s.find(handle)
	if err != nil {
		return err
	}
	return c.write(p)
}

// Finish ends a call's body and waits for the response's head. It returns the status.
func (s *Scope) Finish(handle int32) (status int, err error) {
	c, err := s.find(handle)
	if err != nil {
		return 0, err
	}
	return c.finish()
}

// Fields returns the fields of a response as FormatFields writes them: those of the head, or its trailers, once the body
// has been read.
func (s *Scope) Fields(handle int32, trailers bool) (string, error) {
	c, err := s.find(handle)
	switch {
	case err != nil:
		return "", err
	case c.response == nil:
		return "", Failf(BadHandle, "the call %d has no response yet", handle)
	case trailers && !c.ended:
		return "", Failf(BadHandle, "the body of the call %d was not read to its end", handle)
	case trailers:
		return FormatFields(c.response.Trailers()), nil
	}
	return FormatFields(c.response.Fields), nil
}

// Read reads a piece of a response's body; 0 bytes are its end. P must not be empty.
func (s *Scope) Read(handle int32, p []byte) (int, error) {
	c, err := s.find(handle)
	if err != nil {
		return 0, err
	}
	return c.read(p)
}

// CloseCall ends a call, wherever it is.
func (s *Scope) CloseCall(handle int32) error {
	c, err := s.find(handle)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed { // else Close does it
		delete(s.calls, handle)
		c.close()
	}
	return nil
}
