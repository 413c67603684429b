package workers

import "github.com/appserver-go/appserver/scoreboard"

// GuestStats are figures of a guest's instances.
type GuestStats struct {
	// Instances and Memory are how many live and how many bytes of linear memory they have.
	Instances, Memory int64
	// Made, Resets and DeniedGrows count what happened so far.
	Made, Resets, DeniedGrows int64
}

// Meter is a Guest that has figures. Stats may be called from any goroutine, even after Close.
type Meter interface{ Stats() GuestStats }

// measure publishes the figures that others keep. The beat calls it, and the end of the worker once more, so that only a
// worker that is killed takes the last moments' figures with it.
func (p *process) measure() {
	p.measuring.Lock()
	defer p.measuring.Unlock()
	board := p.env.Board
	l := p.logs.Load()
	for c, f := range map[scoreboard.Counter]func() uint64{
		scoreboard.LogDrops: l.Dropped, scoreboard.StatsdDrops: l.StatsdDropped, scoreboard.SpanDrops: l.SpansDropped,
	} {
		if f != nil {
			board.Set(c, int64(f()))
		}
	}
	m := p.meter.Load()
	if m == nil {
		return
	}
	s := (*m).Stats()
	board.Set(scoreboard.Instances, s.Instances)
	board.Set(scoreboard.GuestMemory, s.Memory)
	board.Set(scoreboard.InstancesMade, s.Made)
	board.Set(scoreboard.Resets, s.Resets)
	board.Set(scoreboard.DeniedGrows, s.DeniedGrows)
}
