package sockets

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/appserver-go/appserver/internal/fault"
)

func relisten(t *testing.T, s *Set, opts Options, addrs ...string) (*Set, error) {
	t.Helper()
	var parsed []Addr
	for _, a := range addrs {
		parsed = append(parsed, mustParse(t, a))
	}
	return s.Relisten(t.Context(), parsed, opts)
}

// What stays keeps its sockets, in whatever order and however it is written; what is new is opened; the rest is Without.
func TestRelistenKeepsSockets(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	old := listen(t, testOptions(), "127.0.0.1:0", "unix:"+a, "127.0.0.1:0")
	before := old.Sockets()
	next, err := relisten(t, old, testOptions(), "unix:"+b, "unix://"+dir+"/./a", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close(true)
	after := next.Sockets()
	if len(after) != 3 || after[1] != before[1] || after[2] != before[0] || slices.Contains(before, after[0]) {
		t.Fatalf("before %v, after %v", old.Names(), next.Names())
	}
	gone, fresh := old.Without(next), next.Without(old)
	if got := gone.Sockets(); !slices.Equal(got, before[2:]) {
		t.Errorf("%v goes, want %v", gone.Names(), before[2].Name())
	}
	if got := fresh.Sockets(); !slices.Equal(got, after[:1]) {
		t.Errorf("%v is new, want %v", fresh.Names(), after[0].Name())
	}
	if got := old.Indices(gone); !slices.Equal(got, []int{2}) {
		t.Errorf("what goes has the indices %v", got)
	}
	if err := gone.Close(true); err != nil {
		t.Error(err)
	}
	for _, s := range after {
		dial(t, s)
	}
	if c, err := dialAddr(before[2].Addr()); err == nil {
		c.Close()
		t.Error("the address that went still answers")
	}
}

func TestRelistenRollsBack(t *testing.T) {
	dir := t.TempDir()
	taken := listen(t, testOptions(), "127.0.0.1:0")
	old := listen(t, testOptions(), "127.0.0.1:0", "unix:"+filepath.Join(dir, "a"))
	port := old.Sockets()[0].Addr().Port
	for _, c := range []struct{ addr, want string }{
		{taken.Sockets()[0].Addr().String(), "in use"},
		{fmt.Sprintf("0.0.0.0:%d", port), "in use"},
		{"fd://7", "running server"},
		{"unix:" + filepath.Join(dir, "missing", "x"), "no such file"},
	} {
		fds := openFDs(t)
		_, err := relisten(t, old, testOptions(), "unix:"+filepath.Join(dir, "a"), "unix:"+filepath.Join(dir, "b"), c.addr)
		if err == nil || !strings.Contains(err.Error(), c.want) || fault.Hint(err) == "" {
			t.Errorf("%s: error %v, want %q with a hint", c.addr, err, c.want)
		}
		if now := openFDs(t); now != fds {
			t.Errorf("%s: %d descriptors before, %d after", c.addr, fds, now)
		}
		if _, err := os.Lstat(filepath.Join(dir, "b")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the new socket's file was left behind", c.addr)
		}
	}
	for _, s := range old.Sockets() {
		dial(t, s)
	}
	if _, err := relisten(t, old, testOptions()); err == nil {
		t.Error("no address is no error")
	}
}

// An address that overlaps one of the server's own is told apart from another server's.
func TestRelistenExplainsOverlaps(t *testing.T) {
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := probe.Addr().(*net.TCPAddr).Port
	probe.Close()
	old, err := tryListen(t, testOptions(), fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Skipf("somebody took the port: %v", err)
	}
	defer old.Close(true)
	_, err = relisten(t, old, testOptions(), fmt.Sprintf("0.0.0.0:%d", port))
	if err == nil || !strings.Contains(err.Error(), "this server already listens") {
		t.Errorf("error %v", err)
	}
}

// Whoever serves, each socket belongs to somebody who does, and everybody who serves has a socket.
func TestShareLeavesNoQueueAlone(t *testing.T) {
	opts := testOptions()
	opts.Slots = 4
	set := listen(t, opts, "127.0.0.1:0", "unix:"+filepath.Join(t.TempDir(), "s"))
	for mask := 1; mask < 1<<6; mask++ {
		var serving []int
		for slot := range 6 {
			if mask&(1<<slot) != 0 {
				serving = append(serving, slot)
			}
		}
		owners := make([]int, 5)
		for _, slot := range serving {
			share := set.Share(slot, serving)
			if len(share) < 2 || !slices.Contains(share, 4) {
				t.Fatalf("serving %v: slot %d has only %v", serving, slot, share)
			}
			if slot < 4 && !slices.Contains(share, slot) {
				t.Fatalf("serving %v: slot %d has not its own socket", serving, slot)
			}
			for _, i := range share {
				owners[i]++
			}
		}
		for i, n := range owners {
			if n == 0 {
				t.Fatalf("serving %v: nobody has socket %d", serving, i)
			}
		}
	}
	if got := set.Share(2, nil); !slices.Equal(got, []int{2, 4}) {
		t.Errorf("nobody serves yet: %v", got)
	}
}

// Choose acts on an Accept that waits, in both directions.
func TestAcceptorChoose(t *testing.T) {
	opts := testOptions()
	set := listen(t, opts, "127.0.0.1:0", "127.0.0.1:0")
	a := newAcceptor(t, set.Sockets()...)
	a.Choose([]int{0, 9, -1})
	accepted := make(chan net.Addr)
	go func() {
		defer close(accepted)
		for {
			c, err := a.Accept()
			if err != nil {
				return
			}
			accepted <- c.LocalAddr()
			c.Close()
		}
	}()
	other := dial(t, set.Sockets()[1])
	dial(t, set.Sockets()[0])
	if got := <-accepted; got.String() != set.Sockets()[0].Addr().String() {
		t.Errorf("accepted at %v, which was not chosen", got)
	}
	a.Choose([]int{1})
	if got := <-accepted; got.String() != set.Sockets()[1].Addr().String() {
		t.Errorf("accepted at %v", got)
	}
	if _, err := io.ReadAll(other); err != nil {
		t.Error(err)
	}
	waiting := dial(t, set.Sockets()[0])
	a.Stop()
	<-accepted
	if _, err := a.AcceptPending(); !errors.Is(err, ErrNoPending) {
		t.Errorf("a queue that was not chosen was emptied: %v", err)
	}
	a.Choose([]int{0, 1})
	c, err := a.AcceptPending()
	if err != nil || c.RemoteAddr().String() != waiting.LocalAddr().String() {
		t.Errorf("AcceptPending: %v", err)
	} else {
		c.Close()
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	a.Choose([]int{0}) // nothing to act on
}

// A kept socket is named by what is spoken on it in each of the sets that have it.
func TestRelistenNamesByTheSettings(t *testing.T) {
	old := listen(t, testOptions(), "127.0.0.1:0")
	opts := testOptions()
	opts.TLS = true
	next, err := relisten(t, old, opts, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	plain, port := old.Names()[0], old.Sockets()[0].Addr().Port
	if secure := fmt.Sprintf("https://127.0.0.1:%d", port); next.Names()[0] != secure || next.SocketNames()[0] != secure {
		t.Errorf("after: %v", next.Names())
	}
	if want := fmt.Sprintf("http://127.0.0.1:%d", port); plain != want || old.SocketNames()[0] != want {
		t.Errorf("before: %v", old.Names())
	}
	if names := next.Without(&Set{}).Names(); names[0] != next.Names()[0] {
		t.Errorf("a part is named %v", names)
	}
}
