package sockets

import (
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestAcceptorOutOfDescriptors(t *testing.T) {
	s := listen(t, testOptions(), "127.0.0.1:0").Sockets()[0]
	a := newAcceptor(t, s)
	var records atomic.Int32
	a.SetLogger(slog.New(callHandler(func() { records.Add(1) })))
	dial(t, s)

	lowest := dupFD(t, s)
	unix.Close(lowest)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	low := limit
	low.Cur = uint64(lowest)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	restore := func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Error(err)
		}
	}
	defer restore()

	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	start := time.Now()
	go func() {
		c, err := a.Accept()
		done <- result{c, err}
	}()
	eventually(t, "a record is written and pauses pass", func() bool {
		return records.Load() > 0 && time.Since(start) > 20*minPause
	})
	if _, err := a.listeners[0].accept(); !errors.Is(err, unix.EMFILE) {
		t.Errorf("accept = %v, want EMFILE", err)
	} else if opErr := new(net.OpError); !errors.As(err, &opErr) || !opErr.Temporary() { //nolint:staticcheck // net/http asks it
		t.Errorf("error %v is not temporary", err)
	}
	n, elapsed := records.Load(), time.Since(start)
	if most := 1 + int32(elapsed/logInterval); n > most {
		t.Errorf("%d records in %v", n, elapsed)
	}
	restore()
	r := <-done
	if r.err != nil {
		t.Fatalf("Accept = %v after descriptors became free", r.err)
	}
	r.conn.Close()
}

// Stop ends a pause.
func TestAcceptorStopsResting(t *testing.T) {
	a := newAcceptor(t, listen(t, testOptions(), "127.0.0.1:0").Sockets()[0])
	a.Stop()
	start := time.Now()
	for range 20 { // at maxPause most of the time
		a.rest(unix.EMFILE)
	}
	if took := time.Since(start); took > patience {
		t.Errorf("20 pauses took %v after Stop", took)
	}
}

func TestAcceptorBrokenListener(t *testing.T) {
	s := listen(t, testOptions(), "127.0.0.1:0").Sockets()[0]
	a := newAcceptor(t, s)
	if err := s.Control(func(fd uintptr) {
		if err := unix.Shutdown(int(fd), unix.SHUT_RDWR); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	_, err := a.Accept()
	if opErr := new(net.OpError); !errors.As(err, &opErr) || opErr.Op != "accept" || !errors.Is(err, unix.EINVAL) {
		t.Errorf("Accept = %v, want EINVAL in a *net.OpError", err)
	}
}
