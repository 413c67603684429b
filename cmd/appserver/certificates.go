package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/appserver-go/appserver/config"
	"github.com/appserver-go/appserver/internal/credentials"
	"github.com/appserver-go/appserver/reloader"
)

// ticketLife is how long session tickets are made with the same key.
const ticketLife = 12 * time.Hour

// certificates keeps the credentials of a server that speaks TLS. Each generation has its own set of them, read together
// with its configuration. While it is the present one, its files are watched and its ticket keys renewed.
type certificates struct {
	log *slog.Logger
	// renew hands new secrets to the workers instead of old ones. It is set before start.
	renew func(ctx context.Context, old, secrets json.RawMessage) error

	running sync.WaitGroup
	mu      sync.Mutex
	ctx     context.Context // of start; nil before it
	present *certificateSet // nil without TLS
	follow  context.CancelFunc
}

// certificateSet is a generation's credentials.
type certificateSet struct {
	files   credentials.Files
	watch   *reloader.Watcher
	creds   *credentials.Credentials
	secrets json.RawMessage // creds as workers get them
	told    string          // the latest error about the files
}

// load reads the credentials that the settings name. It returns nil where they name none.
func (c *certificates) load(cfg *config.Config) (*certificateSet, error) {
	if cfg.Certfile == "" {
		return nil, nil
	}
	set := &certificateSet{files: certificateFiles(cfg)}
	var err error
	// Before the files are read: what changes while they are is noticed.
	set.watch, err = reloader.New(set.files.Paths(), nil, reloader.Options{Engine: reloader.Engine(cfg.ReloadEngine), Log: c.log})
	if err != nil {
		return nil, err
	}
	creds, err := credentials.Read(set.files)
	if err != nil {
		return nil, err
	}
	var before *credentials.Credentials
	c.mu.Lock()
	if c.present != nil {
		before = c.present.creds
	}
	c.mu.Unlock()
	if err := set.take(creds, before); err != nil {
		return nil, err
	}
	c.describe(creds)
	return set, nil
}

func certificateFiles(cfg *config.Config) credentials.Files {
	return credentials.Files{Certificate: cfg.Certfile, Key: cfg.Keyfile, ClientCAs: cfg.CACerts}
}

// take makes creds the set's, with a new ticket key beside the latest of those before.
func (s *certificateSet) take(creds, before *credentials.Credentials) error {
	creds.Rotate(before)
	secrets, err := json.Marshal(creds)
	if err != nil {
		return err
	}
	s.creds, s.secrets = creds, secrets
	return nil
}

// message is what a generation's workers get.
func (s *certificateSet) message() json.RawMessage {
	if s == nil {
		return nil
	}
	return s.secrets
}

// describe says whose certificate is in use, and warns of one whose time is not now.
func (c *certificates) describe(creds *credentials.Credentials) {
	leaf, err := creds.Leaf()
	if err != nil {
		return // whoever read it has said so
	}
	attrs := []any{"names", credentials.Names(leaf), "expires", leaf.NotAfter.UTC().Format(time.RFC3339)}
	switch now := time.Now(); {
	case now.After(leaf.NotAfter):
		c.log.Warn("The certificate has expired", attrs...)
	case now.Before(leaf.NotBefore):
		c.log.Warn("The certificate is not valid yet", attrs...)
	default:
		c.log.Info("Certificate", attrs...)
	}
}

// adopt makes a set, nil for none, that of the present generation.
func (c *certificates) adopt(set *certificateSet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.follow != nil {
		c.follow()
		c.follow = nil
	}
	c.present = set
	if c.ctx != nil {
		c.begin()
	}
}

// start begins to look after the present set, and those after it, until stop.
func (c *certificates) start(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ctx = ctx
	c.begin()
}

// begin follows the present set. The caller holds mu.
func (c *certificates) begin() {
	set := c.present
	if set == nil || c.ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithCancel(c.ctx)
	c.follow = cancel
	c.running.Go(func() { set.watch.Run(ctx) })
	c.running.Go(func() { c.run(ctx, set) })
}

// stop waits for the end of what start began, whose context has ended.
func (c *certificates) stop() {
	c.mu.Lock()
	if c.follow != nil {
		c.follow()
	}
	c.mu.Unlock()
	c.running.Wait()
}

// run looks after a set until it is not the present one any more.
func (c *certificates) run(ctx context.Context, set *certificateSet) {
	tick := time.NewTicker(ticketLife)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			again := *set.creds
			c.change(ctx, set, &again)
		case <-set.watch.C():
			c.reread(ctx, set)
		}
	}
}

// reread takes over files that have changed. Certificate and key change one after the other; in between they do not
// belong together and the old ones stay, which is told once.
func (c *certificates) reread(ctx context.Context, set *certificateSet) {
	creds, err := credentials.Read(set.files)
	if err != nil {
		if text := err.Error(); text != set.told {
			set.told = text
			c.log.Warn("The changed certificate is no good, the old one stays", "reason", text)
		}
		return
	}
	set.told = ""
	if c.change(ctx, set, creds) {
		c.log.Info("Took over a changed certificate", "files", set.files.Paths())
		c.describe(creds)
	}
}

// change hands new credentials of a set to the workers.
func (c *certificates) change(ctx context.Context, set *certificateSet, creds *credentials.Credentials) bool {
	c.mu.Lock()
	old, before := set.secrets, set.creds
	err := set.take(creds, before)
	secrets := set.secrets
	c.mu.Unlock()
	if err == nil {
		err = c.renew(ctx, old, secrets)
	}
	if err != nil && ctx.Err() == nil {
		c.log.Error("Cannot hand new TLS keys to the workers", "error", err)
	}
	return err == nil
}
