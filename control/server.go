package control

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Bounds of what a client may cost.
const (
	headTime    = 5 * time.Second  // to send a request's head
	requestTime = 10 * time.Second // to send all of a request
	idleTime    = 2 * time.Minute  // between requests
	writeTime   = 5 * time.Second  // to take a piece of an answer
	closeTime   = time.Second      // for answers under way when the server ends
	maxHead     = 8 << 10          // bytes
	maxBody     = 16 << 10         // bytes
	maxStreams  = 16               // readers of events
)

// Options is what a Server works with.
type Options struct {
	// Backend does what clients ask for.
	Backend Backend
	// Feed is what GET /v1/events streams.
	Feed *Feed
	// Log gets what operators did, and who was refused.
	Log *slog.Logger

	requestTime time.Duration // see the constant; tests shorten it
}

// Server answers on a control socket.
type Server struct {
	opts    Options
	socket  *Socket
	http    http.Server
	streams chan struct{}
	ctx     context.Context // of all requests; ends when the server closes
	cancel  context.CancelFunc
	serving sync.WaitGroup
	close   func() error
}

// Serve begins to answer on s, in goroutines of its own, and owns it from now on.
func Serve(s *Socket, opts Options) *Server {
	srv := &Server{opts: opts, socket: s, streams: make(chan struct{}, maxStreams)}
	srv.ctx, srv.cancel = context.WithCancel(context.Background())
	srv.http = http.Server{
		Handler: srv.routes(), ReadHeaderTimeout: headTime, ReadTimeout: cmp.Or(opts.requestTime, requestTime), IdleTimeout: idleTime,
		MaxHeaderBytes: maxHead, BaseContext: func(net.Listener) context.Context { return srv.ctx },
		ErrorLog: slog.NewLogLogger(opts.Log.Handler(), slog.LevelWarn),
	}
	srv.close = sync.OnceValue(srv.shutdown)
	srv.serving.Go(func() {
		d := newDoor(s.inner, opts.Log)
		defer d.refusing.Wait()
		if err := srv.http.Serve(d); !errors.Is(err, http.ErrServerClosed) {
			opts.Log.Error("Control socket is gone", "error", err)
		}
	})
	return srv
}

// Path returns the path of the socket.
func (s *Server) Path() string { return s.socket.Path() }

// Close ends the server: the file goes first, answers under way get a second, streams of events end after the events
// so far. It is idempotent.
func (s *Server) Close() error { return s.close() }

func (s *Server) shutdown() error {
	s.opts.Feed.Close()
	err := s.socket.set.Close(true) // the file; the listener is http's to close
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	late := time.AfterFunc(closeTime/2, s.cancel)
	defer late.Stop()
	if s.http.Shutdown(ctx) != nil {
		s.http.Close() // its error is that of a listener already closed
	}
	s.cancel()
	s.serving.Wait()
	if closeErr := s.socket.Close(); !errors.Is(closeErr, net.ErrClosed) {
		err = errors.Join(err, closeErr)
	}
	return err
}
