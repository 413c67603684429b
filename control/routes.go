package control

import (
	"context"
	"net/http"
	"slices"
	"strconv"

	"github.com/appserver-go/appserver/internal/fault"
)

// maxScale is the largest number of workers, as in the workers setting.
const maxScale = 4096

// empty is the answer where there is nothing to say.
type empty struct{}

// routes maps the paths of the API to what answers them.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	get := func(path string, h func(*http.Request) (any, error)) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) { answer(w, r, h) })
		mux.HandleFunc(path, wrongMethod(http.MethodGet))
	}
	post := func(path string, h func(*http.Request) (any, error)) {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) { answer(w, r, h) })
		mux.HandleFunc(path, wrongMethod(http.MethodPost))
	}
	get("/v1/status", func(r *http.Request) (any, error) { return s.opts.Backend.Status(r.Context()) })
	get("/v1/workers", s.workers)
	get("/v1/requests", s.requests)
	get("/v1/config", func(r *http.Request) (any, error) { return s.opts.Backend.Config(r.Context()) })
	post("/v1/reload", s.reload)
	post("/v1/upgrade", s.upgrade)
	post("/v1/scale", s.scale)
	post("/v1/reopen", s.plain("reopen", s.opts.Backend.Reopen))
	post("/v1/drain", s.plain("drain", s.opts.Backend.Drain))
	post("/v1/stop", s.stop)
	post("/v1/workers/{pid}/kill", s.kill)
	mux.HandleFunc("GET /v1/events", s.events)
	mux.HandleFunc("/v1/events", wrongMethod(http.MethodGet))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		writeError(w, http.StatusNotFound, fault.New("the paths begin with /v1/", "no such path"))
	})
	return mux
}

func (s *Server) workers(r *http.Request) (any, error) {
	st, err := s.opts.Backend.Status(r.Context())
	if err != nil {
		return nil, err
	}
	return append([]Worker{}, st.Workers...), nil
}

func (s *Server) requests(r *http.Request) (any, error) {
	st, err := s.opts.Backend.Status(r.Context())
	if err != nil {
		return nil, err
	}
	return append([]Request{}, st.Requests()...), nil
}

// Requests returns the requests of all workers, oldest first.
func (s *Status) Requests() []Request {
	var all []Request
	for i := range s.Workers {
		all = append(all, s.Workers[i].InFlight...)
	}
	slices.SortStableFunc(all, func(a, b Request) int {
		switch {
		case a.Age > b.Age:
			return -1
		case a.Age < b.Age:
			return 1
		}
		return 0
	})
	return all
}

func (s *Server) reload(r *http.Request) (any, error) {
	if err := readBody(r, &empty{}); err != nil {
		return nil, err
	}
	s.opts.Log.Info("Operator's command", "command", "reload")
	return s.opts.Backend.Reload(r.Context())
}

func (s *Server) upgrade(r *http.Request) (any, error) {
	var req Upgrade
	if err := readBody(r, &req); err != nil {
		return nil, err
	}
	s.opts.Log.Info("Operator's command", "command", "upgrade", "keep", req.Keep)
	return s.opts.Backend.Upgrade(r.Context(), req)
}

func (s *Server) scale(r *http.Request) (any, error) {
	var req Scale
	if err := readBody(r, &req); err != nil {
		return nil, err
	}
	const hint = `send {"workers": N} or {"by": N}`
	switch {
	case (req.Workers == nil) == (req.By == nil):
		return nil, badRequest(hint, "want exactly one of workers and by")
	case req.Workers != nil && *req.Workers < 1:
		return nil, badRequest("drain ends all workers and keeps the sockets", "want at least 1 worker")
	case req.Workers != nil && *req.Workers > maxScale, req.By != nil && (*req.By > maxScale || *req.By < -maxScale):
		return nil, badRequest("", "more than %d workers", maxScale)
	}
	s.opts.Log.Info("Operator's command", "command", "scale", "to", optional(req.Workers), "by", optional(req.By))
	return s.opts.Backend.Scale(r.Context(), req)
}

// optional renders a number that may be missing for the log.
func optional(n *int) string {
	if n == nil {
		return ""
	}
	return strconv.Itoa(*n)
}

func (s *Server) stop(r *http.Request) (any, error) {
	var req Stop
	if err := readBody(r, &req); err != nil {
		return nil, err
	}
	s.opts.Log.Info("Operator's command", "command", "stop", "quick", req.Quick)
	return empty{}, s.opts.Backend.Stop(r.Context(), req)
}

func (s *Server) kill(r *http.Request) (any, error) {
	if err := readBody(r, &empty{}); err != nil {
		return nil, err
	}
	pid, err := strconv.Atoi(r.PathValue("pid"))
	if err != nil || pid < 1 {
		return nil, badRequest("GET /v1/workers lists them", "%q is not a process id", r.PathValue("pid"))
	}
	s.opts.Log.Info("Operator's command", "command", "kill", "pid", pid)
	return empty{}, s.opts.Backend.Kill(r.Context(), pid)
}

// plain answers a command without parameters.
func (s *Server) plain(name string, do func(context.Context) error) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		if err := readBody(r, &empty{}); err != nil {
			return nil, err
		}
		s.opts.Log.Info("Operator's command", "command", name)
		return empty{}, do(r.Context())
	}
}
