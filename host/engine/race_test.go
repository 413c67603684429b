//go:build race

package engine

// slower is by how much the race detector slows the host's side of things down.
const slower = 20
