package control

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/appserver-go/appserver/internal/fault"
)

func TestSocketIsPrivate(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0)) // the most permissive one
	dir := filepath.Join(shortDir(t), "appserver")
	s, err := Listen(t.Context(), []string{dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for path, want := range map[string]os.FileMode{dir: 0o700 | os.ModeDir, s.Path(): 0o600 | os.ModeSocket} {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
	}
	if want := filepath.Join(dir, fmt.Sprintf("%d.sock", os.Getpid())); s.Path() != want {
		t.Errorf("path %s, want %s", s.Path(), want)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if left := Find([]string{dir}); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// abandon leaves the file of a socket that nobody answers on, as a killed server does.
func abandon(t *testing.T, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
}

func TestListenCleansUpAfterTheDead(t *testing.T) {
	dir := filepath.Join(shortDir(t), "appserver")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	live, err := net.Listen("unix", filepath.Join(dir, "98.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	abandon(t, filepath.Join(dir, "99.sock"))
	abandon(t, filepath.Join(dir, "mine.sock")) // not one of ours
	abandon(t, filepath.Join(dir, fmt.Sprintf("%d.sock", os.Getpid())))
	s, err := Listen(t.Context(), []string{dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var names []string
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	for _, want := range []string{"98.sock", "mine.sock", filepath.Base(s.Path())} {
		if !strings.Contains(strings.Join(names, " "), want) {
			t.Errorf("%s is gone", want)
		}
	}
	if len(names) != 3 {
		t.Errorf("left: %v", names)
	}
}

func TestListenPassesOverBadDirectories(t *testing.T) {
	base := shortDir(t)
	open, link, good := filepath.Join(base, "open"), filepath.Join(base, "link"), filepath.Join(base, "good")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(base, link); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(base, "no", "parent")
	s, err := Listen(t.Context(), []string{missing, open, link, good})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if filepath.Dir(s.Path()) != good {
		t.Errorf("socket at %s", s.Path())
	}
	abandon(t, filepath.Join(open, "12.sock"))
	if found := Find([]string{missing, open, link}); len(found) != 0 {
		t.Errorf("found %v where others may write", found)
	}
	if _, err := Listen(t.Context(), []string{missing, open, link}); err == nil ||
		!strings.Contains(err.Error(), "written to by others") || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("error %v, want every reason", err)
	}
}

func TestListenAtRefuses(t *testing.T) {
	dir := shortDir(t)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	live, err := ListenAt(t.Context(), filepath.Join(dir, "live.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	for path, want := range map[string]string{
		"@abstract": "abstract", file: "not a socket", live.Path(): "in use", filepath.Join(dir, "no", "c.sock"): "no such file",
		filepath.Join(dir, strings.Repeat("x", 120)): "120",
	} {
		s, err := ListenAt(t.Context(), path)
		if err == nil {
			s.Close()
			t.Errorf("%s was accepted", path)
		} else if fault.Hint(err) == "" || !strings.HasPrefix(err.Error(), "control_socket: ") ||
			want != "120" && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v (hint %q), want %q", path, err, fault.Hint(err), want)
		}
	}
}

func TestDirs(t *testing.T) {
	env := map[string]string{"XDG_RUNTIME_DIR": "/run/user/1", "TMPDIR": "/t"}
	dirs := Dirs(func(k string) string { return env[k] })
	uid := os.Geteuid()
	if dirs[0] != "/run/user/1/appserver" || dirs[len(dirs)-1] != fmt.Sprintf("/t/appserver-%d", uid) ||
		(uid == 0) != (dirs[1] == "/run/appserver") {
		t.Errorf("dirs %v", dirs)
	}
	env = map[string]string{"XDG_RUNTIME_DIR": "relative", "TMPDIR": "relative"}
	for _, dir := range Dirs(func(k string) string { return env[k] }) {
		if !filepath.IsAbs(dir) {
			t.Errorf("dirs has %s", dir)
		}
	}
}

// TestOtherUsersAreRefused needs root, to become somebody else.
func TestOtherUsersAreRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can run a client as another user")
	}
	r := newRig(t)
	exe := filepath.Join(filepath.Dir(r.server.Path()), "client")
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(exe, self, 0o755); err != nil {
		t.Fatal(err)
	}
	dial := func(uid uint32) string {
		cmd := exec.Command(exe)
		cmd.Env = []string{"CONTROL_TEST_DIAL=" + r.server.Path()}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		out, _ := cmd.CombinedOutput() // its exit code is in what it prints
		return string(out)
	}
	if err := os.Chmod(filepath.Dir(r.server.Path()), 0o755); err != nil {
		t.Fatal(err)
	}
	if out := dial(65534); !strings.Contains(out, "permission denied") {
		t.Errorf("the file's mode does not stop another user: %s", out)
	}
	if err := os.Chmod(r.server.Path(), 0o777); err != nil {
		t.Fatal(err)
	}
	if out := dial(65534); !strings.Contains(out, "403") {
		t.Errorf("past the file another user got %s", out)
	}
	if out := dial(0); !strings.Contains(out, "200") {
		t.Errorf("root got %s", out)
	}
	if calls := r.fake.log(); calls != "status" {
		t.Errorf("the backend was asked: %q", calls)
	}
	eventually(t, "a record of it", func() bool { return strings.Contains(r.logged.String(), "peer_uid=65534") })
}
