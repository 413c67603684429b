// Package wit reads interfaces in the language that the component model describes them in, WIT (component-model
// repository, design/mvp/WIT.md), as far as they describe functions and types of a synchronous host: what the host
// offers is written down as people know it, and compared with what a component declares. Worlds are passed over; gates
// and annotations are not part of the subset. Its input is our own, so errors are mistakes of ours.
package wit
