package engine

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/appserver-go/appserver/internal/fault"
)

// tree makes a directory with one beside it that guests must not reach.
func tree(t testing.TB) (dir, secret string) {
	t.Helper()
	top := t.TempDir()
	dir, secret = filepath.Join(top, "dir"), filepath.Join(top, "secret")
	if err := os.MkdirAll(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		secret: "secret", filepath.Join(dir, "a.txt"): "hello", filepath.Join(dir, "sub", "b.txt"): "below",
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir, secret
}

func TestReadOnlyDir(t *testing.T) {
	dir, _ := tree(t)
	g := newFSGuest(t, Dir{Host: dir, Guest: "/data"})
	fd := g.must(3, "a.txt", 0, rightsRead, 0)
	if got, _ := g.read(fd); got != "hello" {
		t.Errorf("read %q", got)
	}
	if got, errno := g.read(fd); got != "" || errno != wasiOK {
		t.Errorf("at the end read %q, errno %d", got, errno)
	}
	if got := g.list(g.must(3, "sub", oDirectory, rightsRead, 0)); !slices.Equal(got, []string{"b.txt"}) {
		t.Errorf("sub lists %q", got)
	}
	for name, errno := range map[string]uint64{
		"create": func() uint64 { _, e := g.open(3, "new", oCreat, rightsWrite, 0); return e }(),
		"write":  func() uint64 { _, e := g.open(3, "a.txt", 0, rightsWrite, 0); return e }(),
		"trunc":  func() uint64 { _, e := g.open(3, "a.txt", oTrunc, rightsRead, 0); return e }(),
		"mkdir":  g.on("path_create_directory", 3, "new"),
		"rmdir":  g.on("path_remove_directory", 3, "sub"),
		"unlink": g.on("path_unlink_file", 3, "a.txt"),
		"rename": g.onTwo("path_rename", 3, "a.txt", "c.txt"),
		"link":   g.onTwo("path_link", 3, "a.txt", "c.txt"),
		"utimes": call(t, g.i, "fd_filestat_set_times", fd, 0, 0, 1|4),
	} {
		if errno != wasiRofs {
			t.Errorf("%s: errno %d, want %d", name, errno, wasiRofs)
		}
	}
	for name, errno := range map[string]uint64{
		"write":    g.write(fd, "x"),
		"truncate": call(t, g.i, "fd_filestat_set_size", fd, 0),
		"symlink":  g.onTwo("path_symlink", 3, "a.txt", "l"),
	} {
		if errno == wasiOK {
			t.Errorf("%s succeeded", name)
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, "a.txt")); err != nil || string(b) != "hello" {
		t.Errorf("the file is now %q, %v", b, err)
	}
}

func TestWritableDir(t *testing.T) {
	dir, _ := tree(t)
	g := newFSGuest(t, Dir{Host: dir, Guest: "/data", Writable: true})
	on := func(name string) string { return filepath.Join(dir, name) }
	text := func(name string) string {
		b, err := os.ReadFile(on(name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	fd := g.must(3, "new", oCreat|oExcl, rightsRead|rightsWrite, 0)
	g.write(fd, "one,")
	g.write(fd, "two")
	if got := text("new"); got != "one,two" {
		t.Errorf("the file is %q", got)
	}
	if _, errno := g.open(3, "new", oCreat|oExcl, rightsWrite, 0); errno != wasiExist {
		t.Errorf("exclusive create of an existing file: errno %d", errno)
	}
	g.iovec("ONE")
	if errno := call(t, g.i, "fd_pwrite", fd, 16, 1, 0, 24); errno != wasiOK || text("new") != "ONE,two" {
		t.Errorf("pwrite: errno %d, %q", errno, text("new"))
	}
	if errno := call(t, g.i, "fd_seek", fd, 4, 0, 8); errno != wasiOK {
		t.Errorf("seek: errno %d", errno)
	}
	if got, _ := g.read(fd); got != "two" {
		t.Errorf("after a seek read %q", got)
	}
	if errno := call(t, g.i, "fd_filestat_set_size", fd, 3); errno != wasiOK || text("new") != "ONE" {
		t.Errorf("truncate: errno %d, %q", errno, text("new"))
	}
	if errno := call(t, g.i, "fd_fdstat_set_flags", fd, fdAppend); errno != wasiOK {
		t.Errorf("append: errno %d", errno)
	}
	call(t, g.i, "fd_seek", fd, 0, 0, 8)
	if g.write(fd, "+"); text("new") != "ONE+" {
		t.Errorf("after an append: %q", text("new"))
	}
	if errno := call(t, g.i, "fd_filestat_set_times", fd, 0, uint64(5*time.Second), 4); errno != wasiOK {
		t.Errorf("set times: errno %d", errno)
	}
	if info, err := os.Stat(on("new")); err != nil || info.ModTime().Unix() != 5 || info.Mode().Perm()&^0o644 != 0 {
		t.Errorf("the file is %v, %v", info, err)
	}
	g.must(3, "new", oTrunc, rightsWrite, 0)
	if text("new") != "" {
		t.Errorf("after O_TRUNC: %q", text("new"))
	}
	for _, step := range []struct {
		name  string
		errno uint64
		want  uint64
	}{
		{"mkdir", g.on("path_create_directory", 3, "d"), wasiOK},
		{"mkdir again", g.on("path_create_directory", 3, "d"), wasiExist},
		{"rename", g.onTwo("path_rename", 3, "new", "d/moved"), wasiOK},
		{"link", g.onTwo("path_link", 3, "d/moved", "linked"), wasiOK},
		{"rmdir of a file", g.on("path_remove_directory", 3, "linked"), wasiNotdir},
		{"unlink of a directory", g.on("path_unlink_file", 3, "d"), wasiIsdir},
		{"unlink", g.on("path_unlink_file", 3, "d/moved"), wasiOK},
		{"unlink again", g.on("path_unlink_file", 3, "d/moved"), wasiNoent},
		{"rmdir", g.on("path_remove_directory", 3, "d"), wasiOK},
	} {
		if step.errno != step.want {
			t.Errorf("%s: errno %d, want %d", step.name, step.errno, step.want)
		}
	}
	if got := g.list(g.must(3, ".", oDirectory, rightsRead, 0)); !slices.Equal(got, []string{"a.txt", "linked", "sub"}) {
		t.Errorf("at last the directory has %q", got)
	}
}

// TestEscapes tries what has led out of wazero's own directories.
func TestEscapes(t *testing.T) {
	dir, secret := tree(t)
	on := func(name string) string { return filepath.Join(dir, name) }
	for link, target := range map[string]string{
		"up": "../secret", "abs": secret, "deep": "sub/../../secret", "parent": "..", "rootdir": "/", "proc": "/proc/self/root",
		"inside": "a.txt", "loop": "loop",
	} {
		if err := os.Symlink(target, on(link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, writable := range []bool{false, true} {
		g := newFSGuest(t, Dir{Host: dir, Guest: "/data", Writable: writable})
		for _, path := range []string{"../secret", "/../secret", "sub/../../secret", secret, "up", "abs", "deep", "parent/secret", "rootdir" + secret, "proc" + secret} {
			for _, oflags := range []uint64{0, oCreat, oTrunc} {
				for _, rights := range []uint64{rightsRead, rightsRead | rightsWrite} {
					if fd, errno := g.open(3, path, oflags, rights, 0); errno == wasiOK {
						got, _ := g.read(fd)
						t.Errorf("writable %v: %q with flags %d was opened: %q", writable, path, oflags, got)
					}
				}
			}
			at, n := g.put(0, path)
			if errno := call(t, g.i, "path_filestat_get", 3, follow, at, n, 4096); errno == wasiOK {
				t.Errorf("writable %v: stat of %q succeeded", writable, path)
			}
			if errno := call(t, g.i, "path_filestat_set_times", 3, follow, at, n, 0, 0, 1|4); errno == wasiOK {
				t.Errorf("writable %v: utimes of %q succeeded", writable, path)
			}
		}
		for _, errno := range []uint64{
			g.onTwo("path_symlink", 3, "../secret", "s1"), g.onTwo("path_symlink", 3, secret, "s2"), g.onTwo("path_symlink", 3, "a.txt", "s3"),
			g.onTwo("path_link", 3, "../secret", "h1"), g.onTwo("path_link", 3, "up", "h2"), g.onTwo("path_link", 3, "a.txt", "../h3"),
			g.onTwo("path_rename", 3, "../secret", "r1"), g.onTwo("path_rename", 3, "a.txt", "../r2"), g.onTwo("path_rename", 3, "a.txt", "parent/r3"),
			g.on("path_create_directory", 3, "../d1"), g.on("path_create_directory", 3, "parent/d2"),
			g.on("path_unlink_file", 3, "../secret"), g.on("path_unlink_file", 3, "parent/secret"), g.on("path_remove_directory", 3, "../dir"),
		} {
			if errno == wasiOK {
				t.Errorf("writable %v: a change outside succeeded", writable)
			}
		}
		if got, _ := g.read(g.must(3, "inside", 0, rightsRead, 0)); got != "hello" {
			t.Errorf("a link within the directory reads %q", got)
		}
		if _, errno := g.open(3, "loop", 0, rightsRead, 0); errno != wasiLoop {
			t.Errorf("a link to itself: errno %d", errno)
		}
	}
	if b, err := os.ReadFile(secret); err != nil || string(b) != "secret" {
		t.Errorf("the file outside is now %q, %v", b, err)
	}
	if entries, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(entries) != 2 {
		t.Errorf("outside there is now %v, %v", entries, err)
	}
}

// TestSpecialFiles proves that a guest cannot open what is no file or directory, nor wait in open(2).
func TestSpecialFiles(t *testing.T) {
	dir, _ := tree(t)
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o666); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	names := []string{"fifo", "socket"}
	if err := syscall.Mknod(filepath.Join(dir, "zero"), syscall.S_IFCHR|0o666, 1<<8|5); err == nil { // needs root
		names = append(names, "zero")
	}
	g := newFSGuest(t, Dir{Host: dir, Guest: "/data", Writable: true})
	for _, name := range names {
		for _, rights := range []uint64{rightsRead, rightsWrite, rightsRead | rightsWrite} {
			if _, errno := g.open(3, name, 0, rights, 0); errno != wasiAcces {
				t.Errorf("open %s: errno %d", name, errno)
			}
		}
	}
}

func TestOpenFileLimit(t *testing.T) {
	dir, _ := tree(t)
	before := countFiles(t)
	m, err := newEngine(t, Options{}).Compile(t.Context(), filesWasm)
	if err != nil {
		t.Fatal(err)
	}
	i, err := m.Instantiate(t.Context(), Spec{Dirs: []Dir{{Host: dir, Guest: "/"}}})
	if err != nil {
		t.Fatal(err)
	}
	g := &fsGuest{t, i}
	opened := 0
	for {
		_, errno := g.open(3, "a.txt", 0, rightsRead, 0)
		if errno == wasiAgain {
			break
		}
		if errno != wasiOK || opened > maxOpenFiles {
			t.Fatalf("open %d: errno %d", opened, errno)
		}
		opened++
	}
	if opened < maxOpenFiles-2 {
		t.Errorf("only %d files could be opened", opened)
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	if after := countFiles(t); after > before+5 {
		t.Errorf("%d files were open before, %d are after", before, after)
	}
}

func TestOpenRootFails(t *testing.T) {
	m, err := newEngine(t, Options{}).Compile(t.Context(), filesWasm)
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.Instantiate(t.Context(), Spec{Dirs: []Dir{{Host: filepath.Join(t.TempDir(), "absent"), Guest: "/"}}})
	if fault.Code(err) != fault.LoadFailed || !strings.Contains(fault.Hint(err), "--guest-dirs") {
		t.Errorf("got %v", err)
	}
}
