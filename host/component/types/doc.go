// Package types has the component model's types as the canonical ABI needs them: resolved, with their size and alignment
// in memory and the core values they flatten to (component-model repository, design/mvp/CanonicalABI.md). Both sides of
// a call are described with it: what a component declares, which host/component/link resolves, and what the host
// offers, which host/component/wit reads. It computes and compares, and touches no memory of a guest.
package types
