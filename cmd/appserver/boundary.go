package main

import (
	"log/slog"

	"github.com/appserver-go/appserver/config"
	"github.com/appserver-go/appserver/host/boundary"
	"github.com/appserver-go/appserver/internal/allowlist"
)

// newBoundary makes what a guest may reach beyond its sandbox.
func newBoundary(g *config.Guest, client boundary.Client, log *slog.Logger) (*boundary.Boundary, error) {
	allow, err := allowlist.Parse(g.Outbound)
	if err != nil {
		return nil, err
	}
	return boundary.New(boundary.Options{
		Allow: allow, Private: g.OutboundPrivate, Timeout: g.OutboundTimeout, Calls: g.OutboundCalls, MaxBody: int64(g.OutboundBody),
		Client: client, Log: log,
	}), nil
}
