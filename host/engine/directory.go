package engine

import experimentalsys "github.com/tetratelabs/wazero/experimental/sys"

// Directory is a directory of the host as a guest may use it. Paths are below it; none leads out of it. It is not safe for
// concurrent use.
type Directory interface {
	experimentalsys.FS
	// Path is where the guest sees it.
	Path() string
	// Writable reports whether anything in it may be changed.
	Writable() bool
	// Close closes it and what was opened in it.
	Close() error
}

// OpenDirectory opens a directory for a guest whose ABI keeps its own descriptors; instances open those of their Spec
// themselves. Errors are a *fault.Error.
func OpenDirectory(d Dir) (Directory, error) {
	r, err := openRoot(d)
	if err != nil {
		return nil, err
	}
	return directory{r}, nil
}

type directory struct{ *rootFS }

// Path implements Directory.
func (d directory) Path() string { return d.guest }

// Writable implements Directory.
func (d directory) Writable() bool { return d.writable }

// Close implements Directory.
func (d directory) Close() error { return d.close() }
