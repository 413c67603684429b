package sockets

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// eachNetwork runs a test with a pair of connected sockets of each kind.
func eachNetwork(t *testing.T, test func(t *testing.T, server *Conn, client net.Conn)) {
	for _, name := range []string{"127.0.0.1:0", "[::1]:0", "unix:s"} {
		t.Run(name, func(t *testing.T) {
			if name[0] == '[' {
				needIPv6(t)
			}
			t.Chdir(t.TempDir())
			server, client := connect(t, name)
			test(t, server, client)
		})
	}
}

func connect(t *testing.T, bind string) (*Conn, net.Conn) {
	t.Helper()
	s := listen(t, testOptions(), bind).Sockets()[0]
	client := dial(t, s)
	c, err := newAcceptor(t, s).Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*Conn), client
}

func TestConnStream(t *testing.T) {
	eachNetwork(t, func(t *testing.T, server *Conn, client net.Conn) {
		data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // more than the kernel's buffers hold
		var wg sync.WaitGroup
		wg.Go(func() {
			if n, err := client.Write(data); n != len(data) || err != nil {
				t.Errorf("client wrote %d, %v", n, err)
			}
			if err := client.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				t.Error(err)
			}
		})
		got, err := io.ReadAll(server)
		wg.Wait()
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("server read %d bytes, %v", len(got), err)
		}
		if n, err := server.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("Read = %d, %v at the end, want io.EOF itself", n, err)
		}
		wg.Go(func() { // the other direction is still open
			if n, err := server.Write(data); n != len(data) || err != nil {
				t.Errorf("server wrote %d, %v", n, err)
			}
			if err := server.CloseWrite(); err != nil {
				t.Error(err)
			}
		})
		got, err = io.ReadAll(client)
		wg.Wait()
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("client read %d bytes, %v", len(got), err)
		}
	})
}

func TestConnAddresses(t *testing.T) {
	eachNetwork(t, func(t *testing.T, server *Conn, client net.Conn) {
		if got, want := server.LocalAddr(), client.RemoteAddr(); got.String() != want.String() || got.Network() != want.Network() {
			t.Errorf("LocalAddr = %s, want %s", got, want)
		}
		switch remote := server.RemoteAddr().(type) {
		case *net.TCPAddr:
			if remote.String() != client.LocalAddr().String() {
				t.Errorf("RemoteAddr = %s, want %s", remote, client.LocalAddr())
			}
		case *net.UnixAddr:
			if remote.Name != "@" || remote.Net != "unix" {
				t.Errorf("RemoteAddr = %+v, want what package net says", remote)
			}
		default:
			t.Errorf("RemoteAddr is a %T", remote)
		}
	})
	t.Run("wildcard", func(t *testing.T) {
		server, client := connect(t, "0.0.0.0:0")
		if got, want := server.LocalAddr().String(), client.RemoteAddr().String(); got != want {
			t.Errorf("LocalAddr = %s, want %s", got, want)
		}
		late, _ := connect(t, "0.0.0.0:0")
		late.Close()
		if got := late.LocalAddr().String(); !strings.HasPrefix(got, "0.0.0.0:") {
			t.Errorf("LocalAddr after Close = %s, want the listener's", got)
		}
	})
}

// Options are set on the listening socket only; the kernel hands them on.
func TestConnOptions(t *testing.T) {
	server, _ := connect(t, "127.0.0.1:0")
	raw, err := server.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) {
		for _, o := range []struct {
			what              string
			level, name, want int
		}{
			{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
			{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
			{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15},
			{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15},
			{"TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 9},
		} {
			if got, err := unix.GetsockoptInt(int(fd), o.level, o.name); err != nil || got != o.want {
				t.Errorf("%s = %d, %v, want %d", o.what, got, err, o.want)
			}
		}
		checkFlags(t, &Socket{fd: int(fd), name: "connection"})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestConnDeadlines(t *testing.T) {
	eachNetwork(t, func(t *testing.T, server *Conn, client net.Conn) {
		check := func(op string, err error) {
			t.Helper()
			var netErr net.Error
			var opErr *net.OpError
			if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &netErr) || !netErr.Timeout() {
				t.Errorf("error %v, want a timeout", err)
			}
			if !errors.As(err, &opErr) || opErr.Op != op {
				t.Errorf("error %#v, want a *net.OpError of %s", err, op)
			}
		}
		if err := server.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		_, err := server.Read(make([]byte, 1))
		check("read", err)

		done := make(chan error, 1)
		if err := server.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		go func() {
			_, err := server.Read(make([]byte, 1))
			done <- err
		}()
		if err := server.SetReadDeadline(time.Unix(1, 0)); err != nil { // as net/http ends a waiting Read
			t.Fatal(err)
		}
		check("read", <-done)

		if err := server.SetWriteDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		for err = nil; err == nil; { // until the buffers are full
			_, err = server.Write(make([]byte, 1<<16))
		}
		check("write", err)

		if err := server.SetDeadline(time.Time{}); err != nil { // deadlines are not final
			t.Fatal(err)
		}
		if _, err := client.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if n, err := server.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Errorf("Read = %d, %v", n, err)
		}
	})
}

func TestConnClose(t *testing.T) {
	eachNetwork(t, func(t *testing.T, server *Conn, client net.Conn) {
		done := make(chan error, 1)
		go func() {
			_, err := server.Read(make([]byte, 1))
			done <- err
		}()
		if err := server.Close(); err != nil {
			t.Fatal(err)
		}
		raw, rawErr := server.SyscallConn()
		if rawErr == nil {
			rawErr = raw.Control(func(uintptr) { t.Error("Control reached a closed descriptor") })
			rawErr = server.opError("raw-control", rawErr)
		}
		_, readErr := server.Read(make([]byte, 1))
		_, writeErr := server.Write([]byte("x"))
		for what, err := range map[string]error{
			"waiting Read":    <-done,
			"Read":            readErr,
			"Write":           writeErr,
			"SetDeadline":     server.SetDeadline(time.Now()),
			"SetReadDeadline": server.SetReadDeadline(time.Now()),
			"CloseWrite":      server.CloseWrite(),
			"CloseRead":       server.CloseRead(),
			"second Close":    server.Close(),
			"SyscallConn":     rawErr,
		} {
			if opErr := new(net.OpError); !errors.Is(err, net.ErrClosed) || !errors.As(err, &opErr) {
				t.Errorf("%s: %#v, want net.ErrClosed in a *net.OpError", what, err)
			}
		}
		if n, err := client.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("client: Read = %d, %v, want io.EOF", n, err)
		}
	})
}

func TestConnCloseRead(t *testing.T) {
	eachNetwork(t, func(t *testing.T, server *Conn, client net.Conn) {
		done := make(chan error, 1)
		go func() {
			_, err := server.Read(make([]byte, 1))
			done <- err
		}()
		if err := server.CloseRead(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != io.EOF {
			t.Errorf("Read = %v, want io.EOF", err)
		}
		if _, err := server.Write([]byte("x")); err != nil {
			t.Errorf("Write = %v after CloseRead", err)
		}
	})
}

func TestConnReset(t *testing.T) {
	server, client := connect(t, "127.0.0.1:0")
	if err := client.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	client.Close()
	_, err := server.Read(make([]byte, 1))
	if opErr := new(net.OpError); !errors.Is(err, unix.ECONNRESET) || !errors.As(err, &opErr) {
		t.Errorf("Read = %#v, want ECONNRESET in a *net.OpError", err)
	}
	_, err = server.Write([]byte("x"))
	if !errors.Is(err, unix.EPIPE) {
		t.Errorf("Write = %v, want EPIPE", err)
	}
	if want := "write: broken pipe"; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("error %v, want it to end with %q as in package net", err, want)
	}
}

// A connection that would land on a standard stream's descriptor must not bring SIGPIPE with it.
func TestConnNoSIGPIPE(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperEnv+"=lowfd")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestHTTP(t *testing.T) {
	for _, bind := range []string{"127.0.0.1:0", "unix:s"} {
		t.Run(bind, func(t *testing.T) {
			t.Chdir(t.TempDir())
			s := listen(t, testOptions(), bind).Sockets()[0]
			a := newAcceptor(t, s)
			server := &http.Server{
				ReadHeaderTimeout: patience,
				Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					body, err := io.ReadAll(r.Body) // answering earlier would make net/http close the connection
					if err != nil {
						t.Error(err)
					}
					if _, err := w.Write(body); err != nil {
						t.Error(err)
					}
				}),
			}
			served := make(chan error, 1)
			go func() { served <- server.Serve(a) }()

			var dials int
			var mu sync.Mutex
			transport := &http.Transport{
				MaxIdleConnsPerHost: 4,
				MaxConnsPerHost:     4,
				DialContext: func(context.Context, string, string) (net.Conn, error) {
					mu.Lock()
					dials++
					mu.Unlock()
					return dialAddr(s.Addr())
				},
			}
			client := &http.Client{Transport: transport, Timeout: patience}
			var wg sync.WaitGroup
			for i := range 4 {
				wg.Go(func() {
					for k := range 4 {
						post(t, client, bytes.Repeat(fmt.Appendf(nil, "%02d", i*4+k), 1<<19))
					}
				})
			}
			wg.Wait()
			if dials > 4 {
				t.Errorf("%d connections for 4 clients: no keep-alive", dials)
			}
			transport.CloseIdleConnections()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if err := server.Shutdown(ctx); err != nil {
				t.Error(err)
			}
			if err := <-served; !errors.Is(err, http.ErrServerClosed) {
				t.Errorf("Serve = %v", err)
			}
		})
	}
}

// post sends a body of 1 MiB and expects it back.
func post(t *testing.T, client *http.Client, body []byte) {
	t.Helper()
	resp, err := client.Post("http://server/", "application/octet-stream", bytes.NewReader(body))
	if err != nil {
		t.Error(err)
		return
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(got, body) {
		t.Errorf("%d bytes, %v, want the %d sent", len(got), err, len(body))
	}
}

// A slow client meets the server's deadline.
func TestHTTPTimeout(t *testing.T) {
	s := listen(t, testOptions(), "127.0.0.1:0").Sockets()[0]
	a := newAcceptor(t, s)
	server := &http.Server{ReadHeaderTimeout: 5 * time.Millisecond}
	served := make(chan error, 1)
	go func() { served <- server.Serve(a) }()
	c := dial(t, s)
	if _, err := io.WriteString(c, "GET / HT"); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if out, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the server kept the connection: %q, %v", out, err)
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	<-served
}

func TestConnImplementsNetConn(t *testing.T) {
	server, _ := connect(t, "unix:"+filepath.Join(t.TempDir(), "s"))
	var _ net.Conn = server
	var _ net.Listener = (*Acceptor)(nil)
	if n, err := server.Read(nil); n != 0 || err != nil {
		t.Errorf("Read(nil) = %d, %v", n, err)
	}
}
