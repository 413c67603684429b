package sockets

import (
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Clients that connect while a server goes away must be served or refused, never reset.
func TestRefuseLosesNoConnection(t *testing.T) {
	for range 20 {
		set := listen(t, testOptions(), "127.0.0.1:0")
		acceptor := newAcceptor(t, set.Sockets()[0])
		addr := acceptor.Addr().String()
		var wg sync.WaitGroup
		var served, lost atomic.Int64
		stop := make(chan struct{})
		for range 8 {
			wg.Go(func() { dialUntil(stop, addr, &served, &lost) })
		}
		for served.Load() < 50 {
			c, err := acceptor.Accept()
			if err != nil {
				t.Fatal(err)
			}
			c.Write([]byte("x"))
			c.Close()
		}
		if all, err := set.Refuse(); err != nil || !all {
			t.Fatal(all, err)
		}
		for { // handshakes under way complete
			c, err := acceptor.AcceptPending()
			if err == nil {
				c.Write([]byte("x"))
				c.Close()
				continue
			}
			before := time.Now()
			acceptor.WaitPending(50 * time.Millisecond)
			if time.Since(before) >= 50*time.Millisecond {
				break
			}
		}
		acceptor.Close()
		set.Close(true)
		close(stop)
		wg.Wait()
		if lost.Load() > 0 {
			t.Fatalf("%d connections of %d were lost", lost.Load(), served.Load()+lost.Load())
		}
	}
}

// dialUntil connects over and over and wants a byte each time. A dial that fails is no loss.
func dialUntil(stop chan struct{}, addr string, served, lost *atomic.Int64) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		c, err := net.DialTimeout("tcp", addr, 200*time.Millisecond)
		if err != nil {
			return
		}
		c.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := c.Read(make([]byte, 1)); err != nil {
			lost.Add(1)
		} else {
			served.Add(1)
		}
		c.Close()
	}
}

func TestRefuseRemovesUnixFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	set := listen(t, testOptions(), "unix:"+path)
	if all, err := set.Refuse(); err != nil || !all {
		t.Fatal(all, err)
	}
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		t.Error("a client still gets in")
	}
}

// A service manager's socket outlives this server and must go on to take connections.
func TestRefuseLeavesLentSockets(t *testing.T) {
	own := listen(t, testOptions(), "127.0.0.1:0")
	lent, err := ListenInherited([]int{dupFD(t, own.Sockets()[0])}, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	defer lent.Close(false)
	if all, err := lent.Refuse(); err != nil || all {
		t.Fatal(all, err)
	}
	dial(t, own.Sockets()[0]).Close()
}
