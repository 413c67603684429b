//go:build cgo && linux

package goplugin

import (
	"fmt"
	"plugin"
)

// Supported says whether this build can load plugins: whether it was built with cgo.
const Supported = true

// open loads the plugin at path, which must have been checked: the runtime ends the process over a file that is no
// plugin. A panic in one of the plugin's init functions becomes an error; the plugin stays mapped then, as after every
// failure.
func open(path string) (find lookup, err error) {
	defer func() {
		if p := recover(); p != nil {
			find, err = nil, panicked("an init function", p)
		}
	}()
	loaded, err := plugin.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open plugin: %w", err)
	}
	return func(name string) (any, bool) {
		symbol, err := loaded.Lookup(name)
		return symbol, err == nil
	}, nil
}
