package workers

import (
	"time"

	"github.com/appserver-go/appserver/scoreboard"
)

// beatInterval is the time between two signs of life. It must be far below the shortest worker_timeout.
const beatInterval = 200 * time.Millisecond

// beat shows that the Go scheduler runs, and winds the dead-man timer up, for as long as the process lives.
func (p *process) beat() {
	man := newDeadman(deadTime(p.config.WorkerTimeout, p.config.AbortGrace))
	var dropped uint64
	for {
		p.env.Board.Beat()
		man.wind()
		if l := p.logs.Load(); l.Dropped != nil {
			n := l.Dropped()
			p.env.Board.Add(scoreboard.LogDrops, int64(n-dropped))
			dropped = n
		}
		time.Sleep(beatInterval)
	}
}
