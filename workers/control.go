package workers

import (
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/appserver-go/appserver/internal/proto"
)

// listen obeys the arbiter until it is gone, and drains then: an orphan serves nobody new and keeps no port busy.
func (p *process) listen() {
	for {
		m, err := p.control.Receive()
		switch {
		case errors.Is(err, proto.ErrMalformed):
			p.log().Warn("The arbiter sent what is no message", "error", err.Error())
		case err != nil:
			p.log().Debug("The arbiter is gone", "error", err.Error())
			p.drain.Begin(Order{Grace: p.config.GracefulTimeout, CloseIdle: true})
			return
		case m.Type == proto.TypeDrain:
			p.drain.Begin(Order{Grace: m.Drain.Grace, Final: m.Drain.Final})
		case m.Type == proto.TypeReopen:
			p.reopen()
		case m.Type == proto.TypeSecrets:
			if err := p.keys.set(&p.config, m.Secrets.Data); err != nil {
				p.log().Error("Cannot take over new TLS keys, the old ones stay", "error", err.Error())
			}
		case m.Type == proto.TypeAccept:
			p.listeners.choose(m.Accept.Listeners)
		default:
			p.log().Warn("The arbiter sent a message that is not for workers", "message", string(m.Type))
		}
	}
}

// reopen opens the log files anew.
func (p *process) reopen() {
	l := p.logs.Load()
	if l.Reopen == nil {
		return
	}
	if err := l.Reopen(); err != nil {
		p.log().Error("Cannot reopen the logs", "error", err.Error())
	}
}

// signals is the goroutine that handles signals.
type signals struct {
	c    chan os.Signal
	done sync.WaitGroup
}

// handleSignals installs the worker's signals. The process group of a terminal gets SIGINT, SIGHUP and SIGWINCH, and
// `pkill -HUP` reaches workers too: all of that is the arbiter's to act on. SIGABRT and SIGQUIT must stay with
// the runtime, since a handler here does not run in a frozen process.
func (p *process) handleSignals() *signals {
	s := &signals{c: make(chan os.Signal, 8)}
	signal.Ignore(syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR2, syscall.SIGWINCH, syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGPIPE)
	signal.Notify(s.c, syscall.SIGTERM, syscall.SIGUSR1)
	s.done.Go(func() {
		for sig := range s.c {
			if sig == syscall.SIGUSR1 {
				p.reopen()
				continue
			}
			p.drain.Begin(Order{Grace: p.config.GracefulTimeout})
		}
	})
	return s
}

// stop ends the goroutine. Signals are not the process's business any more: it is about to exit.
func (s *signals) stop() {
	signal.Stop(s.c)
	signal.Ignore(syscall.SIGTERM, syscall.SIGUSR1)
	close(s.c)
	s.done.Wait()
}
