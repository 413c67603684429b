//go:build race

package http1

// raceEnabled says that the race detector runs, under which pools forget at random.
const raceEnabled = true
