package workers

import "time"

// beatInterval is the time between two signs of life. It must be far below the shortest worker_timeout.
const beatInterval = 200 * time.Millisecond

// beat shows that the Go scheduler runs, winds the dead-man timer up and publishes figures, for as long as the process
// lives.
func (p *process) beat() {
	man := newDeadman(deadTime(p.config.WorkerTimeout, p.config.AbortGrace))
	for {
		p.env.Board.Beat()
		man.wind()
		p.measure()
		time.Sleep(beatInterval)
	}
}
