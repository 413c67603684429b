// Package link evaluates a component without running any of it. What a component's definitions say, who instantiates
// what with which imports, through nested components and bundles of exports, is all known beforehand: the result is a
// Plan, a list of core modules to instantiate one after another, for each import of theirs where it comes from, and the
// functions the host has to make. Nested components vanish in it, save that each keeps a state of its own (handles).
//
// It checks what the component's own parts require of each other, and names what this server cannot run. It neither
// knows wazero nor what the host offers: host/component compares the plan's imports with that.
package link
