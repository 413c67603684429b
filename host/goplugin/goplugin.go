package goplugin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/appserver-go/appserver/internal/fault"
)

// closeTime is how long a plugin's Close may take. The worker that calls it has nothing else left to do.
const closeTime = 5 * time.Second

// Options say what to load.
type Options struct {
	// File is the plugin's content, which has been read before; a file that changes meanwhile cannot mix versions.
	File []byte
	// Config is given to NewHandler, which may keep it.
	Config map[string]string
	// Scratch are directories to put the file into while it is loaded, the best first. The system's directory for
	// temporary files comes before them.
	Scratch []string
	// Log receives what concerns the server; nil discards it.
	Log *slog.Logger
	// Line takes each line that the plugin prints. The stream is "stdout" or "stderr". nil discards them.
	Line func(stream, text string)
	// Stage is told what Load is busy with: "checking", "opening", then "starting". nil is fine.
	Stage func(stage string)
}

// Handler is a loaded plugin. It is an exchange.Handler and safe for concurrent use if the plugin's is.
type Handler struct {
	bound   *bound
	build   *Build
	output  *output
	log     *slog.Logger
	running atomic.Int64 // requests in the plugin
	closing sync.Once
	closed  error
}

// Load checks a plugin, loads it into this process, for good, and makes its handler. Errors are a *fault.Error. Load
// returns when the plugin's init functions and NewHandler do; nothing can interrupt them, so the caller bounds the time
// by ending the process. It changes os.Stdout, os.Stderr and the standard logger, and is called once in a process.
func Load(o Options) (*Handler, error) {
	if o.Line == nil {
		o.Line = func(string, string) {}
	}
	if o.Stage == nil {
		o.Stage = func(string) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Stage("checking")
	plugin, err := admit(o.File, o.Log)
	if err != nil {
		return nil, err
	}
	h := &Handler{build: plugin, log: o.Log}
	if h.output, err = capture(o.Line); err != nil {
		return nil, fault.WithCode(fault.LoadFailed, "raise the limit of open files", "take the plugin's output: %w", err)
	}
	if err := h.start(&o); err != nil {
		h.output.release()
		return nil, err
	}
	return h, nil
}

// admit decides whether a file may be loaded at all.
func admit(file []byte, log *slog.Logger) (*Build, error) {
	if !Supported {
		return nil, Unsupported()
	}
	own, err := Own()
	if err != nil {
		return nil, err
	}
	if !own.Dynamic {
		return nil, fault.WithCode(fault.LoadFailed, "build it without -extldflags=-static", "%w", errStatic)
	}
	report, err := Check(file, own)
	if err != nil {
		return nil, err
	}
	if report.Unknown {
		log.Warn("Go plugin cannot be checked before it is loaded", "reason", "no fingerprints of packages")
	}
	return report.Plugin, report.Err()
}

// start opens the plugin and takes its handler.
func (h *Handler) start(o *Options) error {
	o.Stage("opening")
	temp, err := writeTemp(o.File, append([]string{os.TempDir()}, o.Scratch...))
	if err != nil {
		return err
	}
	find, err := open(temp.path)
	temp.remove()
	if err != nil {
		hint := fault.Hint(err)
		if hint == "" {
			hint = "rebuild it: appserver plugin build ./dir -o app.so"
		}
		return fault.WithCode(fault.LoadFailed, hint, "%w", err)
	}
	o.Stage("starting")
	h.bound, err = bind(find, o.Config, h.build.Exports)
	return err
}

// Build returns what the plugin was built with.
func (h *Handler) Build() *Build { return h.build }

// Origin returns the name of the symbol that the handler comes from: "NewHandler" or "Handler".
func (h *Handler) Origin() string { return h.bound.origin }

// Close calls the plugin's Close, if there is one, and waits five seconds for it at most. While a request still runs,
// because it could not be stopped, the plugin is not closed under it. The plugin stays in memory in any case.
func (h *Handler) Close() error {
	h.closing.Do(func() {
		h.closed = h.shutDown()
		h.output.release()
	})
	return h.closed
}

func (h *Handler) shutDown() error {
	if n := h.running.Load(); n > 0 {
		return fmt.Errorf("the plugin is not closed: %d of its requests still run", n)
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	done := make(chan error, 1)
	go func() { // outlives us only if the plugin ignores ctx; the process ends then
		defer func() {
			if p := recover(); p != nil {
				done <- panicked(symbolClose, p)
			}
		}()
		done <- h.bound.close(ctx)
	}()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("close the plugin: %w", err)
		}
		return nil
	case <-ctx.Done():
		// A plugin that obeys ends at the same moment; its own word counts for more.
		select {
		case err := <-done:
			return err
		case <-time.After(closeTime / 10):
			return errors.New("close the plugin: it takes too long")
		}
	}
}
