package engine

// Isolation says what a request may find of those before it in the instance that serves it. The engine offers the means;
// the guest ABIs decide.
type Isolation string

const (
	// IsolationReset serves every request from an instance that is as it was after its start, to the byte: what a
	// request wrote is undone after it. It costs about a microsecond and as much as copying what was written.
	IsolationReset Isolation = "reset"
	// IsolationShared reuses instances as the requests leave them. Those that failed are thrown away.
	IsolationShared Isolation = "shared"
	// IsolationFresh starts an instance for each request.
	IsolationFresh Isolation = "fresh"
)
