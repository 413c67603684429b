package main

import (
	"context"
	"reflect"

	"github.com/appserver-go/appserver/arbiter"
	"github.com/appserver-go/appserver/config"
	"github.com/appserver-go/appserver/sockets"
)

// next makes the generation of a reload: it reads the configuration from where the server was started and the guest, and
// opens what is new in bind. The arbiter calls it in a goroutine of its own, never two at a time, and Adopt before the
// next one.
func (s *server) next(ctx context.Context, current *sockets.Set) (*arbiter.Next, error) {
	loaded, err := s.loadAgain()
	if err != nil {
		return nil, err
	}
	cfg := &loaded.Config
	settings, err := arbiterSettings(cfg)
	if err != nil {
		return nil, err
	}
	certs, err := s.certs.load(cfg)
	if err != nil {
		return nil, err
	}
	settings.Secrets = certs.message()
	access, err := openAccess(cfg, s.p.stdout, s.who)
	if err != nil {
		return nil, err
	}
	next := &arbiter.Next{
		Settings: settings,
		Adopt: func() {
			s.loaded = loaded
			s.desk.adopt(loaded)
			s.certs.adopt(certs)
			s.logs.change(levelOf(cfg), access)
		},
		Discard: func() {
			if access != nil {
				_ = access.sink.Close(logFlush) // nothing was written to it
			}
		},
	}
	guest, err := readArtifact(cfg.Paths())
	if err != nil {
		next.Discard()
		return nil, err
	}
	if next.Sockets, err = s.listenAgain(ctx, cfg, current); err != nil {
		next.Discard()
		guest.file.Close()
		return nil, err
	}
	next.Artifact, next.ShareLimit = guest.file, guest.shareLimit(cfg)
	s.logs.Logger.Info("Loaded a new generation", "config", loaded.File, "guest", cfg.Serves(), "sha256", guest.digest()[:12])
	return next, nil
}

// loadAgain loads the configuration anew. Settings that only a restart can change keep their values.
func (s *server) loadAgain() (*Loaded, error) {
	loaded, err := loadConfigIn(s.dir, s.flags, s.p.environ, s.args)
	if err == nil {
		err = loaded.Config.RequireApp()
	}
	if err != nil {
		return nil, err
	}
	var kept []string
	for _, setting := range config.Settings() {
		if setting.Reload != config.Restart || reflect.DeepEqual(setting.Get(&s.loaded.Config), setting.Get(&loaded.Config)) {
			continue
		}
		kept = append(kept, setting.Key)
		setting.Copy(&loaded.Config, &s.loaded.Config)
	}
	if len(kept) > 0 {
		s.logs.Logger.Warn("Changed settings need a restart, keeping their old values", "settings", kept)
		err = loaded.Config.Validate(workerClasses()) // they may not go with the new values of others
	}
	return loaded, err
}

// listenAgain opens what is new in bind. A service manager's sockets stand instead of bind for as long as the server runs.
func (s *server) listenAgain(ctx context.Context, cfg *config.Config, current *sockets.Set) (*sockets.Set, error) {
	if s.inherited {
		return current, nil
	}
	addrs, err := parseBinds(cfg.Bind)
	if err != nil {
		return nil, err
	}
	return current.Relisten(ctx, addrs, s.socketOptions(cfg))
}
