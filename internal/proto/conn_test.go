package proto

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ends returns both ends of a control socket as Conns.
func ends(t *testing.T) (arbiter, worker *Conn) {
	t.Helper()
	arbiter, theirs, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { arbiter.Close() })
	worker, err = NewConn(theirs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { worker.Close() })
	return arbiter, worker
}

func mustSend(t *testing.T, c *Conn, m Message) {
	t.Helper()
	if err := c.Send(m); err != nil {
		t.Fatalf("send %s: %v", m.Type, err)
	}
}

func wantMessage(t *testing.T, c *Conn, want Message) {
	t.Helper()
	m, err := c.Receive()
	if err != nil {
		t.Fatalf("receive: %v, want a %s message", err, want.Type)
	}
	if !reflect.DeepEqual(m, want) {
		t.Fatalf("received %+v, want %+v", m, want)
	}
}

func TestConnCarriesMessagesBothWays(t *testing.T) {
	arbiter, worker := ends(t)
	hello := Message{Type: TypeHello, Hello: &Hello{Magic: Magic, Version: Version}}
	start := Message{Type: TypeStart, Start: &Start{
		Config: json.RawMessage(`{"app":"a<b>.wasm"}`), Generation: 1, Age: 7, Slot: 2, Artifact: 9, Stderr: 8,
		Listeners: []Listener{{FD: 5, Name: "http://127.0.0.1:8000"}},
	}}
	mustSend(t, worker, hello)
	wantMessage(t, arbiter, hello)
	if err := arbiter.TrySend(start); err != nil {
		t.Fatal(err)
	}
	m, err := worker.Receive()
	if err != nil {
		t.Fatal(err)
	}
	var config struct{ App string }
	if err := json.Unmarshal(m.Start.Config, &config); err != nil || config.App != "a<b>.wasm" {
		t.Errorf("the settings arrived as %s", m.Start.Config)
	}
	m.Start.Config = start.Start.Config // escaped differently, equal as JSON
	if !reflect.DeepEqual(m, start) {
		t.Errorf("received %+v, want %+v", m.Start, start.Start)
	}
}

func TestConnKeepsPacketsApart(t *testing.T) {
	arbiter, worker := ends(t)
	for _, stage := range []string{"loading", "compiling", "starting"} {
		mustSend(t, worker, Message{Type: TypeStage, Stage: &Stage{Stage: stage}})
	}
	for _, stage := range []string{"loading", "compiling", "starting"} {
		wantMessage(t, arbiter, Message{Type: TypeStage, Stage: &Stage{Stage: stage}})
	}
}

func TestConnCarriesTheLargestMessage(t *testing.T) {
	arbiter, worker := ends(t)
	bare, err := Encode(Message{Type: TypeStart, Start: &Start{Config: json.RawMessage(`""`)}})
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("x", MaxMessage-len(bare))
	largest := Message{Type: TypeStart, Start: &Start{Config: json.RawMessage(`"` + text + `"`)}}
	if err := arbiter.TrySend(largest); err != nil {
		t.Fatalf("send %d bytes: %v", MaxMessage, err)
	}
	wantMessage(t, worker, largest)
	larger := Message{Type: TypeStart, Start: &Start{Config: json.RawMessage(`"` + text + `x"`)}}
	if err := arbiter.TrySend(larger); err == nil {
		t.Error("a message larger than MaxMessage was sent")
	}
}

func TestReceiveRefusesGarbageAndGoesOn(t *testing.T) {
	arbiter, theirs, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer arbiter.Close()
	defer theirs.Close()
	for _, packet := range []string{"garbage", strings.Repeat("x", MaxMessage+100), `{"type":"closed"}`} {
		if _, err := theirs.Write([]byte(packet)); err != nil {
			t.Fatal(err)
		}
		_, err := arbiter.Receive()
		if malformed := packet[0] != '{'; errors.Is(err, ErrMalformed) != malformed {
			t.Errorf("packet %.20q: error %v", packet, err)
		}
	}
}

// A worker that fails while a message of the arbiter's is on its way must not lose its last words: the kernel reports
// ECONNRESET ahead of them.
func TestReceiveReturnsWhatWasSentBeforeTheEnd(t *testing.T) {
	arbiter, worker := ends(t)
	mustSend(t, arbiter, Message{Type: TypeReopen}) // never read
	failed := Message{Type: TypeFailed, Failed: &Failed{Stage: "loading", Message: "no such file", Code: 4}}
	mustSend(t, worker, failed)
	mustSend(t, worker, Message{Type: TypeClosed})
	worker.Close()
	wantMessage(t, arbiter, failed)
	wantMessage(t, arbiter, Message{Type: TypeClosed})
	for range 2 {
		if _, err := arbiter.Receive(); !errors.Is(err, io.EOF) {
			t.Errorf("after the end: error %v, want EOF", err)
		}
	}
}

func TestReceiveSaysEOFOnReset(t *testing.T) {
	arbiter, worker := ends(t)
	mustSend(t, arbiter, Message{Type: TypeReopen})
	worker.Close()
	if _, err := arbiter.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("error %v, want EOF", err)
	}
}

func TestSendToNobodyFails(t *testing.T) {
	arbiter, worker := ends(t)
	worker.Close()
	if err := arbiter.Send(Message{Type: TypeReopen}); !errors.Is(err, unix.EPIPE) {
		t.Errorf("Send: %v, want EPIPE", err)
	}
	arbiter, worker = ends(t)
	worker.Close()
	if err := arbiter.TrySend(Message{Type: TypeReopen}); !errors.Is(err, unix.EPIPE) {
		t.Errorf("TrySend: %v, want EPIPE", err)
	}
}

func TestTrySendNeverWaits(t *testing.T) {
	arbiter, _ := ends(t)
	done := make(chan error)
	go func() {
		for {
			if err := arbiter.TrySend(Message{Type: TypeReopen}); err != nil {
				done <- err
				return
			}
		}
	}()
	select {
	case err := <-done:
		if !errors.Is(err, unix.EAGAIN) {
			t.Errorf("a full socket: %v, want EAGAIN", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("TrySend waits for a peer that does not read")
	}
}

func TestSendGivesUpOnAPeerThatDoesNotRead(t *testing.T) {
	arbiter, _ := ends(t)
	for {
		if err := arbiter.Send(Message{Type: TypeReopen}); err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("error %v, want a deadline", err)
			}
			return
		}
	}
}

func TestCloseReadEndsAReceive(t *testing.T) {
	arbiter, worker := ends(t)
	mustSend(t, worker, Message{Type: TypeClosed})
	if err := arbiter.CloseRead(); err != nil {
		t.Fatal(err)
	}
	wantMessage(t, arbiter, Message{Type: TypeClosed}) // what had arrived is not lost
	if _, err := arbiter.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("error %v, want EOF although the peer is there", err)
	}

	waiting, _ := ends(t)
	ended := make(chan error)
	go func() {
		_, err := waiting.Receive()
		ended <- err
	}()
	if err := waiting.CloseRead(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, io.EOF) {
		t.Errorf("a Receive that waited: %v, want EOF", err)
	}
}

func TestPairLeavesTheWorkersEndBlocking(t *testing.T) {
	arbiter, theirs, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer arbiter.Close()
	defer theirs.Close()
	raw, err := theirs.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) {
		flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
		if err != nil || flags&unix.O_NONBLOCK != 0 {
			t.Errorf("flags %#o, %v: want a blocking descriptor", flags, err)
		}
		flags, err = unix.FcntlInt(fd, unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("descriptor flags %#o, %v: want close-on-exec", flags, err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestNewConnRefusesWhatIsNoSocket(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewConn(f); err == nil {
		t.Error("a regular file became a control socket")
	}
	if err := f.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("NewConn left the file open")
	}
}

// descriptors counts the open descriptors of the process.
func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestShareCarriesADescriptor(t *testing.T) {
	arbiter, worker := ends(t)
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	mustSend(t, worker, Message{Type: TypeShare, Share: &Share{Name: "image"}, File: f})
	m, err := arbiter.Receive()
	if err != nil || m.Type != TypeShare || m.File == nil {
		t.Fatalf("received %+v, %v", m, err)
	}
	defer m.File.Close()
	sent, sentErr := f.Stat()
	got, gotErr := m.File.Stat()
	if err := errors.Join(sentErr, gotErr); err != nil || !os.SameFile(sent, got) {
		t.Errorf("another file came, %v", err)
	}
	flags, err := unix.FcntlInt(m.File.Fd(), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("descriptor flags %#o, %v: want close-on-exec", flags, err)
	}
}

// Descriptors that a peer should not have sent are closed, however many they are.
func TestReceiveClosesWhatItDoesNotWant(t *testing.T) {
	arbiter, worker := ends(t)
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	many := make([]int, 100)
	for n := range many {
		many[n] = int(f.Fd())
	}
	before := descriptors(t)
	for _, packet := range []string{`{"type":"closed"}`, `garbage`, `{"type":"share","share":{"name":"/"}}`, `{"type":"stage","stage":{}}`} {
		for _, fds := range [][]int{many[:1], many[:2], many} {
			if _, _, err := worker.c.WriteMsgUnix([]byte(packet), unix.UnixRights(fds...), nil); err != nil {
				t.Fatal(err)
			}
			if m, err := arbiter.Receive(); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s with %d descriptors: %+v, %v", packet, len(fds), m, err)
			}
		}
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors were open, %d are now", before, after)
	}
	if err := worker.Send(Message{Type: TypeShare, Share: &Share{Name: "image"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := arbiter.Receive(); !errors.Is(err, ErrMalformed) {
		t.Errorf("a share without a descriptor: %v", err)
	}
}
