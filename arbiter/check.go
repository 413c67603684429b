package arbiter

import (
	"context"

	"github.com/appserver-go/appserver/internal/fault"
	"github.com/appserver-go/appserver/internal/proto"
	"github.com/appserver-go/appserver/sockets"
)

// Check starts one worker that loads the guest, reports it and exits, within boot_timeout. It returns what the worker
// reported, or the *fault.Error with which a server of these options would end. Sockets may be nil. It handles signals
// while it runs, as Run does.
func Check(ctx context.Context, o Options) (proto.Ready, error) {
	o.Workers, o.MinReady, o.Threads = 1, 1, max(o.Threads, 1)
	if o.Sockets == nil {
		o.Sockets = &sockets.Set{}
	}
	a, err := New(o)
	if err != nil {
		return proto.Ready{}, err
	}
	return check(ctx, a)
}

func check(ctx context.Context, a *Arbiter) (proto.Ready, error) {
	var facts proto.Ready
	a.checked, a.bootAttempts = &facts, 1
	if err := a.Run(ctx); err != nil {
		return proto.Ready{}, err
	}
	if !a.everReady {
		return proto.Ready{}, fault.New("", "interrupted")
	}
	return facts, nil
}
