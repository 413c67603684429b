package main

import (
	"os/user"
	"strconv"

	"github.com/appserver-go/appserver/config"
	"github.com/appserver-go/appserver/internal/fault"
)

// owner is whom the workers run as, and so whom log files and unix sockets must belong to. -1 leaves things as they are.
type owner struct {
	uid, gid int
}

// lookupOwner finds the user and the group of the settings. A user without a group brings his own.
func lookupOwner(cfg *config.Config) (owner, error) {
	o := owner{uid: -1, gid: -1}
	if cfg.User != "" {
		u, err := lookupUser(cfg.User)
		if err != nil {
			return o, err
		}
		o = u
	}
	if cfg.Group != "" {
		gid, err := strconv.Atoi(cfg.Group)
		if err != nil {
			g, err := user.LookupGroup(cfg.Group)
			if err != nil {
				return o, fault.New("name a group of this system, or give its number", "group: there is no group %q", cfg.Group)
			}
			gid, _ = strconv.Atoi(g.Gid)
		}
		o.gid = gid
	}
	return o, nil
}

func lookupUser(name string) (owner, error) {
	o := owner{uid: -1, gid: -1}
	u, err := user.Lookup(name)
	if n, numErr := strconv.Atoi(name); err != nil && numErr == nil {
		o.uid = n
		if u, err = user.LookupId(name); err != nil {
			return o, nil // a number needs no name; its group stays as it is
		}
	}
	if err != nil {
		return o, fault.New("name a user of this system, or give its number", "user: there is no user %q", name)
	}
	o.uid, _ = strconv.Atoi(u.Uid)
	o.gid, _ = strconv.Atoi(u.Gid)
	return o, nil
}
