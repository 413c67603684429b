package host

import (
	"log/slog"

	"github.com/appserver-go/appserver/host/goplugin"
	"github.com/appserver-go/appserver/internal/fault"
)

// loadPlugin loads a Go plugin. A configured protocol refuses it: plugins are not sandboxed, and who asked for a guest of
// some protocol asked for a sandbox.
func loadPlugin(o *Options) (*Guest, error) {
	if o.Protocol != ProtocolAuto && o.Protocol != "" {
		return nil, o.fault(fault.WithCode(fault.LoadFailed, "set guest.protocol to auto, or serve a WebAssembly module",
			"the file is native code (ELF), perhaps a Go plugin, and guest.protocol wants %s", o.Protocol))
	}
	if unused := o.unusedByPlugins(); len(unused) > 0 {
		o.Log.Warn("Settings have no effect on a Go plugin", "settings", unused)
	}
	guestLog := o.GuestLog // o itself would keep the file in memory
	h, err := goplugin.Load(goplugin.Options{
		File: o.Wasm, Config: o.PluginConfig, Scratch: []string{o.CacheDir, "/var/tmp", "/dev/shm"}, Log: o.Log, Stage: o.Stage,
		Line: func(_, text string) { guestLog("", slog.LevelInfo, text) },
	})
	if err != nil {
		return nil, o.fault(err)
	}
	b := h.Build()
	return &Guest{handler: h, protocol: ProtocolPlugin, facts: []Fact{
		{"protocol", ProtocolPlugin},
		{"size", size(int64(len(o.Wasm)))},
		{"built with", b.GoVersion},
		{"package", clip(b.Path)},
		{"handler", h.Origin()},
		{"sandbox", "none: a plugin shares the worker's memory and rights"},
	}}, nil
}

// unusedByPlugins returns the names of settings that were set and that only WebAssembly guests have a use for.
func (o *Options) unusedByPlugins() []string {
	var unused []string
	for _, s := range []struct {
		name string
		set  bool
	}{
		{"guest.env", len(o.Env) > 0},
		{"guest.args", len(o.Args) > 0},
		{"guest.dirs", len(o.Dirs) > 0},
		{"guest.config", len(o.Config) > 0},
		{"upstream", o.Next != nil},
	} {
		if s.set {
			unused = append(unused, s.name)
		}
	}
	return unused
}
