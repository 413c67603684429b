package host

import (
	"path"
	"strings"

	"github.com/appserver-go/appserver/host/engine"
	"github.com/appserver-go/appserver/internal/fault"
)

// ParseDir reads a directory as the guest.dirs setting has it: "host:guest" for reading, "host:guest:rw" for writing.
// The guest's path is absolute. A path of the host may hold colons when the rest is clear. Errors are a *fault.Error.
func ParseDir(s string) (engine.Dir, error) {
	const hint = "write guest.dirs as host:guest to read, or host:guest:rw to write, for example ./public:/public"
	rest, writable := strings.CutSuffix(s, ":rw")
	rest, _ = strings.CutSuffix(rest, ":ro")
	i := strings.LastIndex(rest, ":")
	if i <= 0 {
		return engine.Dir{}, fault.WithCode(fault.LoadFailed, hint, "the directory %q has no path for the guest", s)
	}
	d := engine.Dir{Host: rest[:i], Guest: rest[i+1:], Writable: writable}
	switch {
	case !strings.HasPrefix(d.Guest, "/"):
		return engine.Dir{}, fault.WithCode(fault.LoadFailed, hint, "the guest's path %q of the directory %q is not absolute", d.Guest, s)
	case strings.Contains(s, "\x00"):
		return engine.Dir{}, fault.WithCode(fault.LoadFailed, hint, "the directory %q holds a NUL", s)
	}
	return d, nil
}

// parseDirs reads all directories. Two at one path of the guest would hide each other.
func parseDirs(dirs []string) ([]engine.Dir, error) {
	var parsed []engine.Dir
	at := map[string]string{}
	for _, s := range dirs {
		d, err := ParseDir(s)
		if err != nil {
			return nil, err
		}
		guest := path.Clean(d.Guest)
		if other, taken := at[guest]; taken {
			return nil, fault.WithCode(fault.LoadFailed, "give each directory a path of its own in the guest",
				"the directories %q and %q are both at %s in the guest", other, s, guest)
		}
		at[guest] = s
		parsed = append(parsed, d)
	}
	return parsed, nil
}
