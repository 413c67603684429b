package main

import (
	"context"

	"github.com/appserver-go/appserver/arbiter"
	"github.com/appserver-go/appserver/config"
	"github.com/appserver-go/appserver/internal/handover"
	"github.com/appserver-go/appserver/sockets"
)

// What is different in an arbiter that another one has executed to take its place.

// succeed takes over the old arbiter's sockets, opens what is new in bind, and tells the old one what it keeps.
func (s *server) succeed(ctx context.Context, cfg *config.Config, opts sockets.Options) (*sockets.Set, error) {
	addrs, err := parseBinds(cfg.Bind)
	if err != nil {
		return nil, err
	}
	will := &s.heir.Will
	s.inherited = sockets.Activated(will.Sockets)
	set, kept, err := sockets.Succeed(ctx, handover.SocketFD, will.Sockets, addrs, opts)
	if err != nil {
		return nil, err
	}
	s.logs.Logger.Info("Inherited sockets", "old_pid", will.PID, "kept", len(kept))
	return set, s.heir.Say(handover.Message{Type: handover.TypeOpened, Opened: &handover.Opened{Kept: kept}})
}

// lockPidfile locks the pidfile, or one beside it while the old arbiter has it.
func (s *server) lockPidfile(path string) (*arbiter.Pidfile, error) {
	if s.heir != nil {
		return arbiter.LockSuccessorPidfile(path)
	}
	return arbiter.LockPidfile(path)
}
