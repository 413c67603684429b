// Package hygiene holds the rules of this repository that a test can check: who may import whom, what must be
// documented, how long a file may be. It has no code of its own; nobody imports it.
package hygiene
