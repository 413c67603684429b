package wasi

import (
	experimentalsys "github.com/tetratelabs/wazero/experimental/sys"

	"github.com/appserver-go/appserver/host/component/abi"
	"github.com/appserver-go/appserver/host/engine"
)

// onFile makes a function of one that does something with the descriptor's open file.
func onFile(need uint32, f func(file experimentalsys.File, args []any) any) abi.Func {
	return func(_ *abi.Call, args []any) any {
		file, errno := args[0].(*descriptor).regular(need)
		if errno != 0 {
			return done(errno)
		}
		return f(file, args)
	}
}

// onPath makes a function of one that does something with a path, which is its argument n.
func onPath(n int, f func(root engine.Directory, path string, args []any) any) abi.Func {
	return func(c *abi.Call, args []any) any {
		d := args[0].(*descriptor)
		full, errno := d.at(args[n].(string))
		if errno != 0 {
			return done(errno)
		}
		return f(d.root(c), full, args)
	}
}

// onTwo makes a function of one that does something with a path, its argument n, and one of another descriptor, the two
// arguments after it.
func onTwo(n int, f func(root engine.Directory, from, to string) experimentalsys.Errno) abi.Func {
	return func(c *abi.Call, args []any) any {
		d, other := args[0].(*descriptor), args[n+1].(*descriptor)
		from, errno := d.at(args[n].(string))
		if errno != 0 {
			return done(errno)
		}
		to, errno := other.at(args[n+2].(string))
		switch {
		case errno != 0:
			return done(errno)
		case d.dir != other.dir:
			return abi.Err(abi.Enum(codeCrossDevice))
		}
		return done(f(d.root(c), from, to))
	}
}

// files are the functions of wasi:filesystem. A host without directories has none to open.
var files = map[string]abi.Func{
	"preopens#get-directories": func(c *abi.Call, _ []any) any {
		list := []any{}
		for n, d := range env(c).Dirs() {
			flags := uint32(flagRead)
			if d.Writable() {
				flags |= flagMutate
			}
			list = append(list, []any{&descriptor{dir: n, path: ".", flags: flags}, d.Path()})
		}
		return list
	},
	"types#filesystem-error-code": codeOf,
	"types#[method]directory-entry-stream.read-directory-entry": func(_ *abi.Call, args []any) any {
		s := args[0].(*entries)
		if len(s.list) == 0 {
			return abi.OK(abi.None)
		}
		e := s.list[0]
		s.list = s.list[1:]
		return abi.OK(abi.Some([]any{fileType(e.Type), e.Name}))
	},
	"types#[method]descriptor.read-via-stream": onFile(flagRead, func(f experimentalsys.File, args []any) any {
		return abi.OK(&InputStream{Reader: &reader{f, int64(args[1].(uint64))}})
	}),
	"types#[method]descriptor.write-via-stream": onFile(flagWrite, func(f experimentalsys.File, args []any) any {
		return abi.OK(&OutputStream{Sink: &writer{f, int64(args[1].(uint64) &^ (1 << 63))}})
	}),
	"types#[method]descriptor.append-via-stream": onFile(flagWrite, func(f experimentalsys.File, _ []any) any {
		return abi.OK(&OutputStream{Sink: &writer{f, -1}})
	}),
	"types#[method]descriptor.advise": onFile(0, func(experimentalsys.File, []any) any { return abi.OK(nil) }),
	"types#[method]descriptor.sync-data": onFile(0, func(f experimentalsys.File, _ []any) any {
		return done(f.Datasync())
	}),
	"types#[method]descriptor.sync": onFile(0, func(f experimentalsys.File, _ []any) any { return done(f.Sync()) }),
	"types#[method]descriptor.get-flags": func(_ *abi.Call, args []any) any {
		return abi.OK(args[0].(*descriptor).flags)
	},
	"types#[method]descriptor.get-type": func(_ *abi.Call, args []any) any {
		if args[0].(*descriptor).file != nil {
			return abi.OK(abi.Enum(typeFile))
		}
		return abi.OK(abi.Enum(typeDirectory))
	},
	"types#[method]descriptor.set-size": onFile(flagWrite, func(f experimentalsys.File, args []any) any {
		return done(f.Truncate(int64(args[1].(uint64))))
	}),
	"types#[method]descriptor.set-times": func(c *abi.Call, args []any) any {
		d := args[0].(*descriptor)
		if d.file != nil {
			return done(d.file.Utimens(timestamp(args[1]), timestamp(args[2])))
		}
		return done(d.root(c).Utimens(d.path, timestamp(args[1]), timestamp(args[2])))
	},
	"types#[method]descriptor.read": onFile(flagRead, func(f experimentalsys.File, args []any) any {
		p := make([]byte, min(args[1].(uint64), maxFileRead))
		n, errno := f.Pread(p, int64(args[2].(uint64)))
		if errno != 0 {
			return done(errno)
		}
		return abi.OK([]any{p[:n], n == 0 && len(p) > 0})
	}),
	"types#[method]descriptor.write": onFile(flagWrite, func(f experimentalsys.File, args []any) any {
		n, errno := f.Pwrite(args[1].([]byte), int64(args[2].(uint64)))
		if errno != 0 {
			return done(errno)
		}
		return abi.OK(uint64(n))
	}),
	"types#[method]descriptor.read-directory": func(c *abi.Call, args []any) any { return args[0].(*descriptor).list(c) },
	"types#[method]descriptor.create-directory-at": onPath(1, func(r engine.Directory, p string, _ []any) any {
		return done(r.Mkdir(p, 0o777))
	}),
	"types#[method]descriptor.stat": func(c *abi.Call, args []any) any { return statValue(args[0].(*descriptor).stat(c)) },
	"types#[method]descriptor.stat-at": func(c *abi.Call, args []any) any {
		return statValue(args[0].(*descriptor).statAt(c, args[1].(uint32), args[2].(string)))
	},
	"types#[method]descriptor.set-times-at": onPath(2, func(r engine.Directory, p string, args []any) any {
		return done(r.Utimens(p, timestamp(args[3]), timestamp(args[4])))
	}),
	"types#[method]descriptor.link-at":   onTwo(2, engine.Directory.Link),
	"types#[method]descriptor.rename-at": onTwo(1, engine.Directory.Rename),
	"types#[method]descriptor.open-at": func(c *abi.Call, args []any) any {
		return args[0].(*descriptor).open(c, args[1].(uint32), args[2].(string), args[3].(uint32), args[4].(uint32))
	},
	"types#[method]descriptor.readlink-at": onPath(1, func(r engine.Directory, p string, _ []any) any {
		to, errno := r.Readlink(p)
		if errno != 0 {
			return done(errno)
		}
		return abi.OK(to)
	}),
	"types#[method]descriptor.remove-directory-at": onPath(1, func(r engine.Directory, p string, _ []any) any {
		return done(r.Rmdir(p))
	}),
	"types#[method]descriptor.symlink-at": func(*abi.Call, []any) any { return abi.Err(abi.Enum(codeNotPermitted)) },
	"types#[method]descriptor.unlink-file-at": onPath(1, func(r engine.Directory, p string, _ []any) any {
		return done(r.Unlink(p))
	}),
	"types#[method]descriptor.is-same-object": func(c *abi.Call, args []any) any {
		a, errA := args[0].(*descriptor).stat(c)
		b, errB := args[1].(*descriptor).stat(c)
		return errA == 0 && errB == 0 && a.Dev == b.Dev && a.Ino == b.Ino
	},
	"types#[method]descriptor.metadata-hash": func(c *abi.Call, args []any) any { return hash(args[0].(*descriptor).stat(c)) },
	"types#[method]descriptor.metadata-hash-at": func(c *abi.Call, args []any) any {
		return hash(args[0].(*descriptor).statAt(c, args[1].(uint32), args[2].(string)))
	},
}
