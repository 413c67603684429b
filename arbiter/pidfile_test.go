package arbiter

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/internal/fault"
)

const pidfileEnv = "ARBITER_TEST_PIDFILE"

// holdPidfile is the second process: it locks the file, says so, and holds it until its input ends.
func holdPidfile(path string) int {
	p, err := LockPidfile(path)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("locked")
	io.Copy(io.Discard, os.Stdin)
	if err := p.Remove(); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// second starts the second process and returns it with its first line of output.
func second(t *testing.T, path string) (cmd *exec.Cmd, stdin io.Closer, line string) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), pidfileEnv+"="+path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	line, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return cmd, in, strings.TrimSpace(line)
}

func TestPidfileOfAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	cmd, stdin, line := second(t, path)
	if line != "locked" {
		t.Fatalf("the second process says %q", line)
	}
	content := fmt.Sprintf("%d\n", cmd.Process.Pid)
	if got, err := os.ReadFile(path); err != nil || string(got) != content {
		t.Errorf("the file holds %q, %v; want %q", got, err, content)
	}
	_, err := LockPidfile(path)
	want := fmt.Sprintf("already running on pid %d", cmd.Process.Pid)
	if err == nil || !strings.Contains(err.Error(), want) || fault.Hint(err) == "" {
		t.Errorf("error %v, want %q with a hint", err, want)
	}
	if got, _ := os.ReadFile(path); string(got) != content {
		t.Errorf("the loser changed the file to %q", got)
	}
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file was left behind: %v", err)
	}
}

// After a crash the number of the dead, or of whoever got it since, is still in the file.
func TestPidfileAfterACrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	cmd, _, line := second(t, path)
	if line != "locked" {
		t.Fatalf("the second process says %q", line)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if err := os.WriteFile(path, []byte("1\nand more that was there\n"), 0o644); err != nil { // process 1 lives
		t.Fatal(err)
	}
	p, err := LockPidfile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := mustRead(t, path), fmt.Sprintf("%d\n", os.Getpid()); got != want {
		t.Errorf("the file holds %q, want %q", got, want)
	}
	for range 2 {
		if err := p.Remove(); err != nil {
			t.Errorf("remove: %v", err)
		}
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file was left behind: %v", err)
	}
}

func mustRead(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPidfileRemoveLeavesTheFilesOfOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	p, err := LockPidfile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("of somebody else"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := p.Remove(); err != nil {
		t.Errorf("remove: %v", err)
	}
	if got := mustRead(t, path); got != "of somebody else" {
		t.Errorf("the other's file holds %q", got)
	}
}

func TestPidfileRefuses(t *testing.T) {
	dir := t.TempDir()
	target, link, fifo := filepath.Join(dir, "target"), filepath.Join(dir, "link"), filepath.Join(dir, "fifo")
	if err := os.WriteFile(target, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{link, fifo, dir, filepath.Join(dir, "missing", "pid"), ""} {
		p, err := LockPidfile(path)
		if err == nil {
			p.Remove()
			t.Errorf("%q was locked", path)
		} else if fault.Hint(err) == "" {
			t.Errorf("%q: %v has no hint", path, err)
		}
	}
	if got := mustRead(t, target); got != "precious" {
		t.Errorf("the target of the link holds %q", got)
	}
}

// Many at once, each removing the file when it is done: never do two hold it, and nobody is told that a server runs
// when it could have the lock for good.
func TestPidfileRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	var holders, got atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				p, err := LockPidfile(path)
				if err != nil {
					if !strings.Contains(err.Error(), "already running") {
						t.Errorf("lock: %v", err)
					}
					continue
				}
				got.Add(1)
				if n := holders.Add(1); n != 1 {
					t.Errorf("%d hold the pidfile", n)
				}
				if !p.ours() {
					t.Error("the locked file is not the one at the path")
				}
				holders.Add(-1)
				if err := p.Remove(); err != nil {
					t.Errorf("remove: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if got.Load() == 0 {
		t.Error("nobody ever got the lock")
	}
	if p, err := LockPidfile(path); err != nil {
		t.Errorf("afterwards: %v", err)
	} else if err := p.Remove(); err != nil {
		t.Error(err)
	}
}

// The file of a new arbiter is beside that of the old one until it takes its place, lock and all.
func TestPidfilePromotion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	_, old, line := second(t, path)
	if line != "locked" {
		t.Fatal(line)
	}
	p, err := LockSuccessorPidfile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := mustRead(t, path+".2"); got != fmt.Sprintln(os.Getpid()) {
		t.Errorf("%q", got)
	}
	if err := p.Promote(); err == nil || !strings.Contains(err.Error(), "already running") {
		t.Errorf("promoted over a file that is locked: %v", err)
	}
	old.Close()
	deadline := time.Now().Add(20 * time.Second)
	for p.Promote() != nil && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	if got := mustRead(t, path); got != fmt.Sprintln(os.Getpid()) {
		t.Errorf("after the promotion: %q", got)
	}
	if _, err := os.Lstat(path + ".2"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the other file is left: %v", err)
	}
	if _, _, line := second(t, path); !strings.Contains(line, "already running") {
		t.Errorf("another server says %q", line)
	}
	if err := errors.Join(p.Promote(), p.Remove()); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is left: %v", err)
	}
}
