package control

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/appserver-go/appserver/internal/fault"
)

// events streams what the Feed brings: one JSON object a line. A reader that takes nothing for writeTime while events
// come, or falls feedQueue behind, is cut off.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		writeError(w, http.StatusServiceUnavailable, fault.New("close some", "too many readers of events"))
		return
	}
	ctl := http.NewResponseController(w)
	_ = ctl.SetReadDeadline(time.Time{}) // see answer
	follower, stop := s.opts.Feed.follow()
	defer stop()
	w.Header().Set("Content-Type", "application/jsonl")
	send := func(line []byte) error {
		if err := ctl.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
			return err
		}
		if _, err := w.Write(line); err != nil {
			return err
		}
		return ctl.Flush()
	}
	if send(nil) != nil { // the head: from here on nothing is missed
		return
	}
	for {
		select {
		case <-r.Context().Done():
			return
		case ev, ok := <-follower.events:
			if !ok {
				s.endStream(follower)
				return
			}
			line, err := json.Marshal(ev)
			if err == nil {
				err = send(append(line, '\n'))
			}
			if err != nil {
				s.opts.Log.Debug("A reader of events is gone", "error", err)
				return
			}
		}
	}
}

// endStream ends a stream whose events have ended. A reader that missed some must not take it for a good end, so its
// connection breaks off.
func (s *Server) endStream(f *follower) {
	if f.slow {
		s.opts.Log.Warn("Cut off a reader of events that was too slow")
		panic(http.ErrAbortHandler)
	}
}
