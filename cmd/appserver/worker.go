package main

import (
	"os"

	"github.com/appserver-go/appserver/config"
	"github.com/appserver-go/appserver/host/static"
	"github.com/appserver-go/appserver/workers"
	syncworker "github.com/appserver-go/appserver/workers/sync"
	"github.com/appserver-go/appserver/workers/threaded"
)

// classes are the worker classes of this build, by the names of the worker_class setting.
func classes() map[string]workers.Factory {
	return map[string]workers.Factory{
		"sync":     syncworker.New,
		"threaded": threaded.New,
	}
}

// runWorker becomes a worker process. It is reached before the command line is parsed: all a worker needs comes over the
// control socket, and what is on its command line is for readers of ps.
func runWorker(p process) int {
	return workers.Main(workers.Options{
		Classes: classes(),
		Load:    loadGuest,
		OpenFiles: func(cfg *config.Config) (workers.Files, error) {
			if len(cfg.Static) == 0 {
				return nil, nil
			}
			return static.Open(cfg.Static)
		},
		OpenLogs: func(cfg *config.Config, stderr *os.File) (*workers.Logs, error) {
			l, err := openLogs(cfg, p.stdout, stderr, nobodyElse)
			if err != nil {
				return nil, err
			}
			return l.forWorker(cfg), nil
		},
		Stderr: p.stderr,
	})
}
