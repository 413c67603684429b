//go:build race

package workers

// raceEnabled says that the race detector runs, under which pools forget at random.
const raceEnabled = true
