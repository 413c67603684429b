package arbiter

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/appserver-go/appserver/internal/fault"
	"github.com/appserver-go/appserver/internal/proto"
)

// handleEvent deals with what a worker said or did. A worker that breaks the protocol is killed: whatever runs there,
// it is no worker.
func (a *Arbiter) handleEvent(ev event) {
	defer func() { closeFile(ev.msg.File) }() // unless somebody has taken it
	i := slices.IndexFunc(a.workers, func(w *worker) bool { return w.proc == ev.proc })
	if i < 0 {
		return
	}
	w, now := a.workers[i], time.Now()
	switch ev.kind {
	case message:
		if err := a.receive(w, &ev.msg, now); err != nil {
			a.misbehaved(w, err)
		}
	case garbage:
		a.misbehaved(w, ev.err)
	case eof:
		// An exiting process closes its descriptors a moment before it can be reaped.
		if !w.reaped && w.state < aborted {
			w.expect(now, forExit, exitGrace, "closed its control socket and lived on")
		}
	case examined:
		w.examined(ev.text, now)
	case ended:
		w.ended, w.stderr = true, ev.text
		a.bury(w, now)
	}
}

// misbehaved kills a worker that broke the protocol.
func (a *Arbiter) misbehaved(w *worker, err error) {
	if w.state != killed && !w.reaped {
		w.log.Error("Worker broke the protocol, killing it", "error", err)
	}
	w.ending = EndedProtocol
	w.kill(fmt.Sprintf("broke the protocol: %v", err))
}

// receive deals with a message. An error means that a worker would not have sent it.
func (a *Arbiter) receive(w *worker, m *proto.Message, now time.Time) error {
	switch {
	case m.Type == proto.TypeHello && w.state == spawned:
		return a.greet(w, m.Hello)
	case m.Type == proto.TypeStage && w.state != spawned:
		w.stage = m.Stage.Stage
		w.log.Debug("Worker boots", "stage", w.stage)
	case m.Type == proto.TypeShare && w.state != spawned:
		return a.share(w, m)
	case m.Type == proto.TypeReady && w.state == booted:
		a.ready(w, m.Ready, now)
	case m.Type == proto.TypeFailed && w.state != spawned:
		w.failed = m.Failed
		if w.state < draining {
			w.expect(now, forExit, exitGrace, "reported a failure and lived on")
		}
	case m.Type == proto.TypeRetire && (w.served() || w.state >= draining): // or it began to serve as below
		if w.state == ready && w.retiring == "" {
			w.retiring = cmp.Or(m.Retire.Reason, "unknown")
			w.log.Info("Worker asks for a replacement", "reason", w.retiring)
		}
	case m.Type == proto.TypeClosed && w.state >= draining:
		w.closed = true
	case m.Type == proto.TypeReady && w.state >= draining:
		a.bootedAfterAll(w, now) // while the order to drain was on its way
	default:
		return fmt.Errorf("sent %s while %s", m.Type, w.state)
	}
	return nil
}

// greet answers a worker's hello with everything it needs.
func (a *Arbiter) greet(w *worker, h *proto.Hello) error {
	if h.Magic != proto.Magic || h.Version != proto.Version {
		return fmt.Errorf("said hello as %.32q, version %d", h.Magic, h.Version)
	}
	w.state = booted
	w.send(w.spec.start())
	if secrets := w.spec.gen.secrets; secrets != nil {
		w.send(secretsMessage(secrets))
	}
	return nil
}

// ready puts a worker that has booted to work, and retires the one it replaces.
func (a *Arbiter) ready(w *worker, r *proto.Ready, now time.Time) {
	w.state, w.readyAt, w.deadline = ready, now, time.Time{}
	w.watch.begin(now)
	w.log.Info("Worker is ready", "boot", now.Sub(w.spawnedAt).Round(time.Millisecond))
	a.everReady, a.bootDeaths, w.guest = true, 0, r.Guest
	if a.checked != nil {
		*a.checked = *r
		a.beginHalt(true, "checked")
		return
	}
	a.emitWorker(PostWorkerInit, w, "")
	w.chooseLifetime(a.env.jitter())
	if a.isCanary(w) {
		a.commit(w, now)
	} else if s := a.slotOf(w); s != nil && s.next == w {
		a.noteRecycled(s.current, w, now)
		a.takeOver(s, w)
	}
	if !a.announced && a.serving() >= min(a.opts.MinReady, a.gen.workers, max(len(a.slots), 1)) {
		a.announced = true
		a.emit(Event{Name: WhenReady})
		a.opts.Ready()
		a.tellPredecessor()
	}
}

// bootFailed is the only place that decides whether a failure to boot ends the server. It does until some worker was
// ready, at once if the failure is definite, which is that trying again would change nothing.
func (a *Arbiter) bootFailed(err *fault.Error, definite bool) {
	if a.everReady || a.halt != nil {
		return
	}
	a.bootDeaths++
	if !definite && a.bootDeaths < a.bootAttempts {
		return
	}
	a.failure = err
	a.endReloads(errHalting)
	a.halt = &halt{quick: true}
	a.leaveToSuccessor()
	for _, w := range a.workers {
		w.dismiss("another worker failed to boot")
	}
}
