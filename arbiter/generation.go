package arbiter

import (
	"encoding/json"
	"os"
	"time"

	"github.com/appserver-go/appserver/internal/fault"
	"github.com/appserver-go/appserver/internal/proto"
	"github.com/appserver-go/appserver/sockets"
)

// generation is one configuration with everything that comes from it. Workers keep the generation they were spawned in.
type generation struct {
	number      uint64 // from 1; a generation that was given up leaves a gap
	workers     int    // as configured: signals may have changed the number of slots since
	batch       int
	config      json.RawMessage
	secrets     json.RawMessage // nil for none
	sockets     *sockets.Set
	artifact    *os.File
	threads     int
	limits      limits
	autoUpgrade bool
	shared      []sharedFile // by its workers, for those to come
}

// limits are a generation's bounds; see Settings for zero.
type limits struct {
	timeout, abortGrace, workerTimeout, bootTimeout, gracefulTimeout, maxAge time.Duration
	maxMemory, share                                                         int64
}

// newGeneration makes a generation of settings that were checked.
func newGeneration(number uint64, s *Settings) *generation {
	return &generation{
		number: number, workers: s.Workers, batch: s.ReloadBatch, config: s.Config, secrets: s.Secrets, sockets: s.Sockets,
		artifact: s.Artifact, threads: s.Threads, autoUpgrade: s.AutoUpgrade,
		limits: limits{
			timeout: s.Timeout, abortGrace: s.AbortGrace, workerTimeout: s.WorkerTimeout, bootTimeout: s.BootTimeout,
			gracefulTimeout: s.GracefulTimeout, maxAge: s.MaxAge, maxMemory: s.MaxMemory, share: s.ShareLimit,
		},
	}
}

// fits reports settings that are too large for the message that carries them to a worker.
func (g *generation) fits() error {
	first := spec{gen: g}
	if _, err := proto.Encode(first.start()); err != nil {
		return fault.New("shorten the largest settings", "hand the settings to a worker: %w", err)
	}
	return fitSecrets(g.secrets)
}

// fitSecrets reports secrets that are too large for the message that carries them.
func fitSecrets(data json.RawMessage) error {
	if data == nil {
		return nil
	}
	if _, err := proto.Encode(secretsMessage(data)); err != nil {
		return fault.New("", "hand the secrets to a worker: %w", err)
	}
	return nil
}

func secretsMessage(data json.RawMessage) proto.Message {
	return proto.Message{Type: proto.TypeSecrets, Secrets: &proto.Secrets{Data: data}}
}

// closeFiles frees the guest's bytes and what workers have shared: no worker will be started with them. Those that run
// have descriptors of their own.
func (g *generation) closeFiles() {
	closeFile(g.artifact)
	for _, f := range g.shared {
		closeFile(f.file)
	}
	g.shared = nil
}

// closeFile closes a file, if there is one. Nothing was written to it, so nothing can be lost.
func closeFile(f *os.File) {
	if f != nil {
		f.Close()
	}
}
