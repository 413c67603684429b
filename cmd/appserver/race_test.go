//go:build race

package main

// raceFactor is how much more memory a server takes under the race detector, which shadows every byte of the Go heap.
const raceFactor = 4
