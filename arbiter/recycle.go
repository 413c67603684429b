package arbiter

import (
	"fmt"
	"time"
)

const (
	// weighEvery is how often the memory of workers is looked at.
	weighEvery = time.Second
	// recycleShare bounds what recycling may cost: after a replacement has booted, nothing is recycled for so many
	// times as long. Booting is work of one processor, so a storm of max_requests costs about a fifth of one.
	recycleShare = 4
	// longestPause bounds that pause: with a guest that takes long to boot, workers that leak must not wait for ever.
	longestPause = 5 * time.Second
	// ageJitter is the part of max_age by which workers differ at random, so that they are not replaced together.
	ageJitter = 0.1
)

// chooseLifetime decides when a worker that is ready will be too old.
func (w *worker) chooseLifetime(jitter float64) {
	if limit := w.spec.gen.limits.maxAge; limit > 0 {
		w.expiry = w.readyAt.Add(limit + time.Duration(jitter*ageJitter*float64(limit)))
	}
}

// recycle finds workers that are too old or too large. They serve until their replacements are ready.
func (a *Arbiter) recycle(now time.Time) {
	weigh := now.Sub(a.weighed) >= weighEvery
	if weigh {
		a.weighed = now
	}
	for _, w := range a.workers {
		if w.state != ready || w.retiring != "" {
			continue
		}
		l := w.spec.gen.limits
		if !w.expiry.IsZero() && !now.Before(w.expiry) {
			w.retiring = "max_age"
			w.log.Info("Worker is too old, replacing it", "age", now.Sub(w.readyAt).Round(time.Millisecond), "max_age", l.maxAge)
			continue
		}
		if !weigh || l.maxMemory == 0 {
			continue
		}
		if resident, ok := a.env.memory(w.pid); ok && resident > l.maxMemory {
			w.retiring = "max_worker_memory"
			w.log.Warn("Worker is too large, replacing it", "memory", mebibytes(resident), "max_worker_memory", mebibytes(l.maxMemory))
		}
	}
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1fMiB", float64(n)/(1<<20)) }

// mayRecycle reports whether another replacement for a worker that wants to retire may boot beside those that do. A
// quarter of the slots at a time leaves processors to those that serve.
func (a *Arbiter) mayRecycle() bool {
	booting := 0
	for _, s := range a.slots {
		if s.next != nil && !a.outdated(s) {
			booting++
		}
	}
	return booting < max(1, len(a.slots)/4)
}

// noteRecycled sets the pause that follows when w has taken over from a worker that wanted to retire.
func (a *Arbiter) noteRecycled(old, w *worker, now time.Time) {
	if old != nil && old.retiring != "" {
		a.recycled = now.Add(min(recycleShare*now.Sub(w.spawnedAt), longestPause))
	}
}
