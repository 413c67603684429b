package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/appserver-go/appserver/arbiter"
)

const (
	// patience is how long the arbiter's loop may take to answer. It comes round within milliseconds, so one that takes
	// longer hangs.
	patience = 5 * time.Second
	// maxConns bounds the connections: monitoring has a handful, and the arbiter's descriptors are for its workers.
	maxConns = 64
	// closeTime bounds the wait for answers on their way when the server ends.
	closeTime = time.Second
)

// Options are what a Server shows.
type Options struct {
	// Figures asks the arbiter. It fails when ctx ends first.
	Figures func(ctx context.Context) (*Figures, error)
	// Status asks it for less.
	Status func(ctx context.Context) (*arbiter.Status, error)
	// Log is told what goes wrong.
	Log *slog.Logger
}

// Server answers on the metrics listener.
type Server struct {
	o    Options
	http http.Server
	done sync.WaitGroup
	stop sync.Once
}

// Serve begins to answer on l, which it closes in the end.
func Serve(l net.Listener, o Options) *Server {
	s := &Server{o: o}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", s.metrics)
	mux.HandleFunc("GET /livez", s.live)
	mux.HandleFunc("GET /readyz", s.ready)
	s.http = http.Server{
		Handler: mux, ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
		ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
	}
	limited := &limitListener{Listener: l, places: make(chan struct{}, maxConns)}
	s.done.Go(func() {
		if err := s.http.Serve(limited); !errors.Is(err, http.ErrServerClosed) {
			o.Log.Error("Metrics are no longer served", "error", err)
		}
	})
	return s
}

// Close ends the server; answers on their way get a second. Calling it again does nothing.
func (s *Server) Close() {
	s.stop.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTime)
		defer cancel()
		if s.http.Shutdown(ctx) != nil {
			s.http.Close()
		}
		s.done.Wait()
	})
}

func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	f, err := s.o.Figures(ctx)
	if err != nil {
		http.Error(w, "the arbiter does not answer: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", ContentType)
	_, _ = w.Write(render(f)) // a client that is gone
}

// live tells whether the arbiter's loop comes round.
func (s *Server) live(w http.ResponseWriter, r *http.Request) {
	if _, err := s.status(r); err != nil {
		http.Error(w, "the arbiter does not answer: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

// ready tells whether connections should be sent here.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	st, err := s.status(r)
	switch {
	case err != nil:
		http.Error(w, "the arbiter does not answer: "+err.Error(), http.StatusServiceUnavailable)
	case !ready(st):
		http.Error(w, unready(st), http.StatusServiceUnavailable)
	default:
		fmt.Fprintln(w, "ok")
	}
}

func (s *Server) status(r *http.Request) (*arbiter.Status, error) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	return s.o.Status(ctx)
}

// ready reports whether the server serves and goes on with it: it was ready once, some worker still is, and nobody has told
// it to go down.
func ready(st *arbiter.Status) bool { return unready(st) == "" }

// unready says why the server is not ready.
func unready(st *arbiter.Status) string {
	switch {
	case st.Halting:
		return "the server is shutting down"
	case st.Target == 0:
		return "the workers were drained"
	case !st.Announced:
		return "the first workers are booting"
	case st.Ready == 0:
		return "no worker is ready"
	}
	return ""
}

// limitListener holds connections back while there are too many.
type limitListener struct {
	net.Listener
	places chan struct{}
}

// Accept implements net.Listener. A connection over the limit is closed: whoever waits for it would wait for ever.
func (l *limitListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.places <- struct{}{}:
			return &limitedConn{Conn: c, free: sync.OnceFunc(func() { <-l.places })}, nil
		default:
			c.Close()
		}
	}
}

type limitedConn struct {
	net.Conn
	free func()
}

// Close implements net.Conn.
func (c *limitedConn) Close() error {
	defer c.free()
	return c.Conn.Close()
}
