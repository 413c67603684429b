package reloader

import (
	"path/filepath"

	"github.com/appserver-go/appserver/internal/fault"
)

// ignored are Options.Ignore.
type ignored []string

// check finds patterns that cannot be.
func (ig ignored) check() error {
	for _, p := range ig {
		if filepath.IsAbs(p) {
			continue
		}
		if _, err := filepath.Match(p, ""); err != nil || p == "" || filepath.Base(p) != p {
			return fault.New("give an absolute path, or a pattern for one name", "cannot ignore %q", p)
		}
	}
	return nil
}

// match reports whether the entry name of a directory is one that wildcards must not find.
func (ig ignored) match(dir, name string) bool {
	for _, p := range ig {
		if filepath.IsAbs(p) {
			if p == filepath.Join(dir, name) {
				return true
			}
			continue
		}
		if ok, err := filepath.Match(p, name); err == nil && ok {
			return true
		}
	}
	return false
}
