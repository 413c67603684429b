package main

import (
	"github.com/appserver-go/appserver/config"
	"github.com/appserver-go/appserver/workers"
)

// owner is whom log files and unix sockets must belong to: whoever the workers run as. -1 leaves things as they are.
type owner struct {
	uid, gid int
}

// nobodyElse is the owner when workers run as whoever starts the server.
var nobodyElse = owner{uid: -1, gid: -1}

// lookupOwner finds the user and the group of the settings.
func lookupOwner(cfg *config.Config) (owner, error) {
	o, err := workers.FindOwner(cfg.User, cfg.Group)
	if err != nil || o == nil {
		return nobodyElse, err
	}
	return owner{uid: o.UID, gid: o.GID}, nil
}
