package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/control"
	"github.com/appserver-go/appserver/internal/texttest"
)

var updateGolden = flag.Bool("update", false, "rewrite golden files")

// TestTopView renders pictures for an old terminal, with clients who try to take it over.
func TestTopView(t *testing.T) {
	st := busyStatus()
	st.PID = 1000
	before := busyStatus()
	before.Now = st.Now.Add(-2 * time.Second)
	before.Workers[0].Requests -= 25
	before.Workers[1].Requests += 5 // somebody else's page: rates are never negative
	crowd := st
	crowd.Workers = nil
	for i := range 40 {
		w := st.Workers[i%2]
		w.PID, w.Slot, w.Number = 2000+i, i, uint64(100+i)
		crowd.Workers = append(crowd.Workers, w)
	}
	for name, tc := range map[string]struct {
		st, before    *control.Status
		width, height int
	}{
		"80x24":       {&st, &before, 80, 24},
		"crowd-80x24": {&crowd, nil, 80, 24},
		"tiny-20x4":   {&st, &before, 20, 4},
		"plain":       {&st, &before, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			lines := topView{width: tc.width, height: tc.height}.lines(tc.st, tc.before)
			for _, line := range lines {
				if tc.width > 0 && len(line) > tc.width {
					t.Errorf("%d columns: %q", len(line), line)
				}
				for _, r := range line {
					if r < ' ' || r > '~' {
						t.Errorf("the line has %q: %q", r, line)
					}
				}
			}
			if tc.height > 0 && len(lines) > tc.height {
				t.Errorf("%d lines", len(lines))
			}
			golden(t, filepath.Join("testdata", "top", name+".txt"), strings.Join(lines, "\n")+"\n")
		})
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *updateGolden {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (-update rewrites it), got\n%s", path, got)
	}
}

func TestTopWithoutTerminal(t *testing.T) {
	_, dir := controlDir(t)
	f := startFake(t, dir)
	stdout, stderr, code := cli(t, nil, "top", "--interval", "100ms", "--control", f.path)
	if code != 0 || !strings.Contains(stdout, "WORKER") || !strings.Contains(stdout, "/orders?page=2") || strings.Contains(stdout, "\x1b") {
		t.Errorf("exit code %d, %s, printed\n%s", code, stderr, stdout)
	}
	if _, stderr, code = cli(t, nil, "top", "--interval", "1ms", "--control", f.path); code != 2 {
		t.Errorf("exit code %d for a short interval: %s", code, stderr)
	}
}

// openTerminal returns both ends of a pseudo-terminal of 80 columns and 24 lines.
func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	number := 0
	err = withFD(master, func(fd int) error {
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return err
		}
		if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
			return err
		}
		n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
		number = n
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

func termios(t *testing.T, f *os.File) unix.Termios {
	t.Helper()
	var got unix.Termios
	err := withFD(f, func(fd int) error {
		tio, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err == nil {
			got = *tio
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// However top ends, the terminal is as it was.
func TestTopRestoresTheTerminal(t *testing.T) {
	for name, end := range map[string]func(master *os.File, cmd *exec.Cmd, f *fakeServer) error{
		"q":      func(m *os.File, _ *exec.Cmd, _ *fakeServer) error { _, err := m.WriteString("q"); return err },
		"ctrl-c": func(m *os.File, _ *exec.Cmd, _ *fakeServer) error { _, err := m.WriteString("\x03"); return err },
		"term":   func(_ *os.File, cmd *exec.Cmd, _ *fakeServer) error { return cmd.Process.Signal(syscall.SIGTERM) },
		"hup":    func(_ *os.File, cmd *exec.Cmd, _ *fakeServer) error { return cmd.Process.Signal(syscall.SIGHUP) },
		"quit":   func(_ *os.File, cmd *exec.Cmd, _ *fakeServer) error { return cmd.Process.Signal(syscall.SIGQUIT) },
	} {
		t.Run(name, func(t *testing.T) {
			_, dir := controlDir(t)
			f := startFake(t, dir)
			master, slave := openTerminal(t)
			before := termios(t, slave)
			cmd := command("top", "--interval", "100ms", "--control", f.path)
			cmd.Env = append(cmd.Env, "TERM=xterm")
			cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var screen texttest.Buffer
			go func() { // ends with the terminal
				buf := make([]byte, 4096)
				for {
					n, err := master.Read(buf)
					screen.Write(buf[:n])
					if err != nil {
						return
					}
				}
			}()
			eventually(t, patience, "a picture", func() bool { return strings.Contains(screen.String(), "/orders?page=2") })
			if raw := termios(t, slave); raw.Lflag&unix.ECHO != 0 || raw.Lflag&unix.ICANON != 0 {
				t.Error("keys are echoed while it runs")
			}
			if strings.Contains(screen.String(), "\x1b[2J") || strings.Contains(screen.String(), "\x1b]0") {
				t.Errorf("a client has the terminal: %q", screen.String())
			}
			if err := end(master, cmd, f); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("exit: %v", err)
			}
			if after := termios(t, slave); after != before {
				t.Errorf("terminal is left as %+v, was %+v", after, before)
			}
			eventually(t, patience, "the screen is given back", func() bool {
				return strings.HasSuffix(screen.String(), "\x1b[?25h\x1b[?1049l")
			})
		})
	}
}

// Whatever clients send, top's lines are ASCII, fit the screen and hold no control characters.
func FuzzTopView(f *testing.F) {
	f.Add("GET", "/", 80, 24)
	f.Add("\x1b[5m", "/\x1b[2J\x9b2J\u202e\xff漢", 20, 6)
	f.Add("", strings.Repeat("e\u0301", 300), 1, 1)
	f.Fuzz(func(t *testing.T, method, path string, width, height int) {
		width, height = width%500, height%100
		st := busyStatus()
		st.Workers[0].InFlight[0].Method, st.Workers[0].InFlight[0].Path = method, path
		lines := topView{width: width, height: height}.lines(&st, nil)
		if height > 0 && len(lines) > height {
			t.Errorf("%d lines for %d", len(lines), height)
		}
		for _, line := range lines {
			if width > 0 && len(line) > width {
				t.Errorf("%d columns for %d: %q", len(line), width, line)
			}
			if strings.IndexFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
				t.Errorf("line %q", line)
			}
		}
	})
}
