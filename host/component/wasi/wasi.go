package wasi

import (
	_ "embed" // for WIT
	"io"
	"time"

	"github.com/appserver-go/appserver/host/component/abi"
	"github.com/appserver-go/appserver/host/engine"
)

// WIT, FilesystemWIT and SocketsWIT are the interfaces of the package.
var (
	//go:embed wasi.wit
	WIT string
	//go:embed filesystem.wit
	FilesystemWIT string
	//go:embed sockets.wit
	SocketsWIT string
)

// Env is what the functions ask of the Host of an abi.Instance.
type Env interface {
	// Stdout and Stderr take what the guest prints.
	Stdout() io.Writer
	Stderr() io.Writer
	// Dirs are the directories of the instance.
	Dirs() []engine.Directory
	// Wait is called before the guest waits for something: the moment to pass on what it has written.
	Wait()
}

// Options say what a component sees of the world.
type Options struct {
	// Env holds the environment as "K=V".
	Env []string
	// Args are the arguments, the program's name included.
	Args []string
}

// Host makes the functions for a component. All of its instances share it.
type Host struct {
	opts  Options
	start time.Time // what the monotonic clock counts from
}

// New makes a Host.
func New(o Options) *Host { return &Host{opts: o, start: time.Now()} }

// Funcs returns the functions by interface and name, as "wasi:io/poll#poll".
func (h *Host) Funcs() map[string]abi.Func {
	all := map[string]abi.Func{}
	for prefix, funcs := range map[string]map[string]abi.Func{
		"wasi:io/error#": ioErrors, "wasi:io/poll#": polling, "wasi:io/streams#": streams,
		"wasi:filesystem/": files, "wasi:sockets/": sockets, "wasi:clocks/": h.clocks(), "wasi:random/": random, "wasi:cli/": h.cli(),
	} {
		for name, f := range funcs {
			all[prefix+name] = f
		}
	}
	return all
}

func env(c *abi.Call) Env { return c.Host().(Env) }
