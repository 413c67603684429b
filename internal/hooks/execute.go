package hooks

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/appserver-go/appserver/internal/helper"
)

// Command is the first argument with which this program is a helper.
const Command = "hook-runner"

// killGrace is how much longer than its command a helper may take: to start, to kill, to report.
const killGrace = 3 * time.Second

// execute runs a task in a helper and logs what comes of it.
func (r *Runner) execute(t task) {
	began := time.Now()
	log := r.log.With("hook", t.name)
	e, err := r.converse(t, func(line string) { log.Info("Hook wrote", "line", line) })
	took := time.Since(began)
	switch {
	case err != nil:
		log.Warn("Could not run a hook", "error", err)
	case e.Timeout:
		log.Warn("Hook was killed at the end of hook_timeout", "timeout", t.job.Timeout)
	case e.failed():
		log.Warn("Hook failed", "code", e.Code, "signal", e.Signal, "error", e.Error, "duration", took)
	default:
		log.Debug("Hook ran", "duration", took)
	}
	if err == nil && e.Dropped > 0 {
		log.Warn("Hook wrote too many lines", "dropped", e.Dropped)
	}
}

// converse starts a helper, gives it the job and reads its reports to the end.
func (r *Runner) converse(t task, line func(string)) (*end, error) {
	h, err := helper.Start([]string{Command, t.name}, r.environ())
	if err != nil {
		return nil, err
	}
	defer h.Close()
	// Without a deadline a helper that something stopped would hold its key for ever.
	ctx, cancel := context.WithTimeout(r.ctx, t.job.Timeout+killGrace)
	defer cancel()
	stop := context.AfterFunc(ctx, h.Kill)
	defer stop()
	if err := give(h, &t.job); err != nil {
		return nil, err
	}
	in := bufio.NewScanner(h.Out)
	in.Buffer(nil, 8*maxLine) // a line of control characters is six times as long in JSON
	for in.Scan() {
		var rep report
		if err := json.Unmarshal(in.Bytes(), &rep); err != nil {
			return nil, fmt.Errorf("read from its helper: %w", err)
		}
		switch {
		case rep.Line != nil:
			line(*rep.Line)
		case rep.End != nil:
			return rep.End, nil
		}
	}
	if ctx.Err() != nil {
		return nil, errors.New("its helper did not answer and was killed")
	}
	return nil, errors.Join(errors.New("its helper died"), in.Err())
}

// give writes the job.
func give(h *helper.Process, j *job) error {
	err := json.NewEncoder(h.In).Encode(j)
	if err = errors.Join(err, h.In.Close()); err != nil {
		return fmt.Errorf("hand it to its helper: %w", err)
	}
	return nil
}
