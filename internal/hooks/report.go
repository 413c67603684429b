package hooks

import "time"

// job is what a Runner writes to a helper's standard input, as JSON.
type job struct {
	Command string        `json:"command"`
	Timeout time.Duration `json:"timeout"` // nanoseconds
	Event   []byte        `json:"event"`
}

// report is one line of what a helper writes to its standard output. Exactly one of its fields is set.
type report struct {
	Line *string `json:"line,omitempty"` // the command wrote a line
	End  *end    `json:"end,omitempty"`  // the command has ended; the last report
}

// end says how a command ended. A command that went well has the zero end.
type end struct {
	Error   string `json:"error,omitempty"`   // it could not be started
	Code    int    `json:"code,omitempty"`    // its exit code
	Signal  string `json:"signal,omitempty"`  // what killed it, like SIGSEGV
	Timeout bool   `json:"timeout,omitempty"` // the time limit killed it
	Dropped int    `json:"dropped,omitempty"` // lines that were too many
}

// failed reports whether the command did not go well.
func (e *end) failed() bool { return e.Error != "" || e.Code != 0 || e.Signal != "" || e.Timeout }
