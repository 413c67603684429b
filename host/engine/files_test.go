package engine

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

// WASI preview 1 error numbers.
const (
	wasiOK     = 0
	wasiAcces  = 2
	wasiAgain  = 6
	wasiExist  = 20
	wasiIsdir  = 31
	wasiLoop   = 32
	wasiNoent  = 44
	wasiNotdir = 54
	wasiRofs   = 69
)

// Flags of path_open.
const (
	oCreat, oDirectory, oExcl, oTrunc = 1, 2, 4, 8
	fdAppend                          = 1
	rightsRead, rightsWrite           = 2, 64
	follow                            = 1
)

// fsGuest calls the file functions of testdata/files.wasm. Its first directory has descriptor 3, the next 4.
type fsGuest struct {
	t testing.TB
	i *Instance
}

func newFSGuest(t testing.TB, dirs ...Dir) *fsGuest {
	t.Helper()
	m, err := newEngine(t, Options{}).Compile(t.Context(), filesWasm)
	if err != nil {
		t.Fatal(err)
	}
	return &fsGuest{t, instantiate(t, m, Spec{Dirs: dirs})}
}

// put writes a string to the guest's memory at one of a few places and returns its address and length.
func (g *fsGuest) put(place uint32, s string) (addr, n uint64) {
	g.t.Helper()
	addr = uint64(1024 * (place + 1))
	if !g.i.Memory().WriteString(uint32(addr), s) {
		g.t.Fatal("the string does not fit")
	}
	return addr, uint64(len(s))
}

// open opens a path with path_open.
func (g *fsGuest) open(dir uint64, path string, oflags, rights, fdflags uint64) (fd, errno uint64) {
	g.t.Helper()
	at, n := g.put(0, path)
	errno = call(g.t, g.i, "path_open", dir, follow, at, n, oflags, rights, 0, fdflags, 8)
	v, _ := g.i.Memory().ReadUint32Le(8)
	return uint64(v), errno
}

// must opens a path that can be opened.
func (g *fsGuest) must(dir uint64, path string, oflags, rights, fdflags uint64) uint64 {
	g.t.Helper()
	fd, errno := g.open(dir, path, oflags, rights, fdflags)
	if errno != wasiOK {
		g.t.Fatalf("open %s: errno %d", path, errno)
	}
	return fd
}

// write writes a string at the file's position.
func (g *fsGuest) write(fd uint64, s string) uint64 {
	g.t.Helper()
	g.iovec(s)
	return call(g.t, g.i, "fd_write", fd, 16, 1, 24)
}

func (g *fsGuest) iovec(s string) {
	at, n := g.put(1, s)
	g.i.Memory().WriteUint32Le(16, uint32(at))
	g.i.Memory().WriteUint32Le(20, uint32(n))
}

// read reads up to 100 bytes from the file's position.
func (g *fsGuest) read(fd uint64) (string, uint64) {
	g.t.Helper()
	g.iovec(strings.Repeat("\x00", 100))
	errno := call(g.t, g.i, "fd_read", fd, 16, 1, 24)
	return g.counted(), errno
}

// counted returns the bytes at the iovec, as many as the count at 24 says.
func (g *fsGuest) counted() string {
	n, _ := g.i.Memory().ReadUint32Le(24)
	b, _ := g.i.Memory().Read(2048, n)
	return string(b)
}

// on calls a function that takes a directory and a path.
func (g *fsGuest) on(fn string, dir uint64, path string) uint64 {
	g.t.Helper()
	at, n := g.put(0, path)
	return call(g.t, g.i, fn, dir, at, n)
}

// onTwo calls a function with a path in each of two directories.
func (g *fsGuest) onTwo(fn string, dir uint64, from, to string) uint64 {
	g.t.Helper()
	a, an := g.put(0, from)
	b, bn := g.put(1, to)
	switch fn {
	case "path_symlink":
		return call(g.t, g.i, fn, a, an, dir, b, bn)
	case "path_link":
		return call(g.t, g.i, fn, dir, 0, a, an, dir, b, bn)
	}
	return call(g.t, g.i, fn, dir, a, an, dir, b, bn)
}

// list returns the names in a directory, sorted, without the dots.
func (g *fsGuest) list(fd uint64) []string {
	g.t.Helper()
	if errno := call(g.t, g.i, "fd_readdir", fd, 4096, 60000, 0, 8); errno != wasiOK {
		g.t.Fatalf("readdir: errno %d", errno)
	}
	used, _ := g.i.Memory().ReadUint32Le(8)
	b, _ := g.i.Memory().Read(4096, used)
	var names []string
	for len(b) >= 24 {
		n := binary.LittleEndian.Uint32(b[16:])
		if name := string(b[24 : 24+n]); name != "." && name != ".." {
			names = append(names, name)
		}
		b = b[24+n:]
	}
	slices.Sort(names)
	return names
}
