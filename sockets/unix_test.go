package sockets

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/internal/fault"
)

func TestUnixMode(t *testing.T) {
	old := unix.Umask(0)
	defer unix.Umask(old)
	for _, umask := range []int{0, 0o077, 0o777} {
		for _, mode := range []fs.FileMode{0o600, 0o660, 0o777, 0} {
			t.Run(fmt.Sprintf("umask %03o mode %03o", umask, mode), func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "s")
				opts := testOptions()
				opts.Mode = mode
				unix.Umask(umask)
				_, err := tryListen(t, opts, "unix:"+path)
				unix.Umask(0)
				if err != nil {
					t.Fatal(err)
				}
				info, err := os.Lstat(path)
				if err != nil {
					t.Fatal(err)
				}
				if want := mode | fs.ModeSocket; info.Mode() != want {
					t.Errorf("mode %v, want %v", info.Mode(), want)
				}
			})
		}
	}
}

// The file must not have a bit too many for a moment either: bind itself makes it with the wanted mode at most.
func TestUnixModeAtCreation(t *testing.T) {
	old := unix.Umask(0)
	defer unix.Umask(old)
	path := filepath.Join(t.TempDir(), "s")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := createUnix(fd, Addr{Network: Unix, Path: path}, 0o640); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode() != fs.ModeSocket|0o640 {
		t.Errorf("%v, %v, want mode 640", info.Mode(), err)
	}
}

func TestUnixOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	opts := testOptions()
	opts.Mode, opts.UID, opts.GID = 0o660, 12345, 23456
	_, err := tryListen(t, opts, "unix:"+path)
	if os.Getuid() != 0 {
		if !errors.Is(err, unix.EPERM) || !strings.Contains(fault.Hint(err), "only root") {
			t.Errorf("error %v (hint %q), want EPERM", err, fault.Hint(err))
		}
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the socket is still there: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil || st.Uid != 12345 || st.Gid != 23456 || st.Mode&0o777 != 0o660 {
		t.Errorf("owner %d:%d, mode %o, %v, want 12345:23456, 660", st.Uid, st.Gid, st.Mode, err)
	}
}

// leaveStale leaves the file of a socket that nobody listens on any more.
func leaveStale(t *testing.T, path string) {
	t.Helper()
	set, err := tryListen(t, testOptions(), "unix:"+path)
	if err != nil {
		t.Fatal(err)
	}
	if err := set.Close(false); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Fatalf("Close(false) removed the file: %v", err)
	}
}

func TestUnixStale(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	leaveStale(t, path)
	set := listen(t, testOptions(), "unix:"+path)
	if set.Names()[0] != "unix:"+path {
		t.Errorf("name %q", set.Names()[0])
	}
	dial(t, set.Sockets()[0])
}

func TestUnixLive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	for _, name := range []string{"unix:" + path, "unix:@appserver-test-" + strconv.Itoa(os.Getpid())} {
		t.Run(name[:6], func(t *testing.T) {
			opts := testOptions()
			opts.Backlog = 1
			s := listen(t, opts, name).Sockets()[0]
			_, err := tryListen(t, testOptions(), name)
			want := fmt.Sprintf("listen on %s: address is in use by process %d (", name, os.Getpid())
			if !errors.Is(err, unix.EADDRINUSE) || !strings.HasPrefix(err.Error(), want) || fault.Hint(err) == "" {
				t.Errorf("error %v, want %q with a hint", err, want)
			}
			dial(t, s)                                   // the queue has room for one more than the backlog: full now
			_, err = tryListen(t, testOptions(), name)   // or by this one's probe
			_, err2 := tryListen(t, testOptions(), name) // surely
			for _, err := range []error{err, err2} {
				if !errors.Is(err, unix.EADDRINUSE) {
					t.Errorf("with a full queue: error %v, want EADDRINUSE", err)
				}
			}
			dial(t, adoptAndEmpty(t, s))
		})
	}
}

// adoptAndEmpty takes what waits in the queue of s, which it returns: it must still be the one that is answered.
func adoptAndEmpty(t *testing.T, s *Socket) *Socket {
	t.Helper()
	a, err := NewAcceptor([]*Listener{adopt(t, s)})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for {
		c, err := a.AcceptPending()
		if err != nil {
			if !errors.Is(err, ErrNoPending) {
				t.Fatal(err)
			}
			return s
		}
		c.Close()
	}
}

func TestUnixRefused(t *testing.T) {
	dir := t.TempDir()
	live := filepath.Join(dir, "live")
	listen(t, testOptions(), "unix:"+live)
	datagram := filepath.Join(dir, "datagram")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for _, err := range []error{
		unix.Bind(fd, &unix.SockaddrUnix{Name: datagram}),
		os.WriteFile(filepath.Join(dir, "file"), []byte("precious"), 0o600),
		os.Symlink("file", filepath.Join(dir, "link")),
		os.Symlink("nowhere", filepath.Join(dir, "dangling")),
		os.Symlink("live", filepath.Join(dir, "linked")),
		os.Mkdir(filepath.Join(dir, "dir"), 0o700),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct{ name, text, hint string }{
		{"file", "is not a socket", "move the file"},
		{"link", "is not a socket", "move the file"},
		{"dangling", "is not a socket", "move the file"},
		{"linked", "is not a socket", "move the file"},
		{"dir", "is not a socket", "move the file"},
		{"datagram", "address is in use", "stop the other"},
		{"missing/s", "no such file or directory", "create the directory"},
		{"file/s", "not a directory", "create the directory"},
	}
	for _, tt := range tests {
		path := filepath.Join(dir, tt.name)
		before, _ := os.Lstat(path)
		_, err := tryListen(t, testOptions(), "unix:"+path)
		if err == nil || !strings.Contains(err.Error(), tt.text) || !strings.Contains(fault.Hint(err), tt.hint) {
			t.Errorf("%s: error %v (hint %q), want %q (%q)", tt.name, err, fault.Hint(err), tt.text, tt.hint)
		}
		if after, _ := os.Lstat(path); before != nil && (after == nil || !os.SameFile(before, after)) {
			t.Errorf("%s: the file was replaced or removed", tt.name)
		}
	}
}

func TestUnixNoPermission(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dir")
	if err := os.Mkdir(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		// Root is refused nothing. A file system uid of its own takes this thread's power over files away; the thread
		// is thrown away with the goroutine, which never unlocks it.
		runtime.LockOSThread()
		if _, err := unix.SetfsuidRetUid(65534); err != nil {
			t.Fatal(err)
		}
		defer unix.SetfsuidRetUid(0)
	}
	_, err := tryListen(t, testOptions(), "unix:"+filepath.Join(dir, "s"))
	if !errors.Is(err, unix.EACCES) || !strings.Contains(fault.Hint(err), "may write to") {
		t.Errorf("error %v (hint %q), want EACCES", err, fault.Hint(err))
	}
}

func TestUnixUnlink(t *testing.T) {
	t.Run("own", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "s")
		set := listen(t, testOptions(), "unix:"+path)
		for range 2 {
			if err := set.Close(true); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the file is still there: %v", err)
		}
	})
	t.Run("relative, from another directory", func(t *testing.T) {
		dir := t.TempDir()
		t.Chdir(dir)
		set := listen(t, testOptions(), "unix:s")
		t.Chdir("/")
		if err := set.Close(true); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(filepath.Join(dir, "s")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the file is still there: %v", err)
		}
	})
	t.Run("already gone", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "s")
		set := listen(t, testOptions(), "unix:"+path)
		if err := errors.Join(os.Remove(path), set.Close(true)); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("another server's", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "s")
		first := listen(t, testOptions(), "unix:"+path)
		if err := os.Remove(path); err != nil { // as gunicorn's start would
			t.Fatal(err)
		}
		second := listen(t, testOptions(), "unix:"+path)
		if err := first.Close(true); err != nil {
			t.Fatal(err)
		}
		dial(t, second.Sockets()[0])
	})
	t.Run("another file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "s")
		set := listen(t, testOptions(), "unix:"+path)
		if err := errors.Join(os.Remove(path), os.WriteFile(path, nil, 0o600), set.Close(true)); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("a file that is not ours was removed: %v", err)
		}
	})
}

// Of servers that start at the same time on a stale file one gets the path, and none replaces the winner's file.
func TestUnixRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	for range 20 {
		leaveStale(t, path)
		var (
			wg    sync.WaitGroup
			start = make(chan struct{})
			sets  [8]*Set
			errs  [8]error
		)
		for i := range sets {
			wg.Go(func() {
				<-start
				sets[i], errs[i] = tryListen(t, testOptions(), "unix:"+path)
			})
		}
		close(start)
		wg.Wait()
		winners := 0
		for i, set := range sets {
			switch {
			case errs[i] == nil:
				winners++
				dial(t, set.Sockets()[0])
				set.Close(false)
			case !errors.Is(errs[i], unix.EADDRINUSE):
				t.Fatal(errs[i])
			}
		}
		if winners != 1 {
			t.Fatalf("%d servers listen on the same path", winners)
		}
	}
}

func TestUnixAbstract(t *testing.T) {
	name := "unix:@appserver-abstract-" + strconv.Itoa(os.Getpid())
	set := listen(t, testOptions(), name)
	if set.Names()[0] != name {
		t.Errorf("name %q, want %q", set.Names()[0], name)
	}
	dial(t, set.Sockets()[0])
	if _, _, err := set.Sockets()[0].Queue(); !errors.Is(err, unix.EOPNOTSUPP) {
		t.Errorf("Queue = %v, want EOPNOTSUPP", err)
	}
}
