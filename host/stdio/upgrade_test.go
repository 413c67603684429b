package stdio

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/appserver-go/appserver/exchange"
)

// switchable is a front end that can be told early hints, and whose connection can be taken over.
type switchable struct {
	wire
	server net.Conn
	hints  []string
}

func (s *switchable) Hijack() (net.Conn, error) { return s.server, nil }

func (s *switchable) Inform(status int, fields exchange.Fields) error {
	s.hints = append(s.hints, strings.Join(fields.Values("Link"), " "))
	if status != 103 || len(fields) != 2 {
		return errors.New("not what the guest said")
	}
	return nil
}

func TestEarlyHints(t *testing.T) {
	g, _ := load(t, Options{})
	w := &switchable{}
	x := request(&w.wire, "GET", "/hints", "", nil)
	x.Response.Reset(w, "GET")
	if f := serve(t.Context(), g, x); f != nil || !slices.Equal(w.hints, []string{"</a> </b>"}) || w.body.String() != "hinted" {
		t.Errorf("hints %q, body %q, failure %v", w.hints, w.body.String(), f)
	}
}

// switching asks a guest for other protocols, and returns the client's side of the connection.
func switching(t *testing.T, g *Guest, offer, target string) (net.Conn, *bufio.Reader, *exchange.Failure) {
	t.Helper()
	client, server := net.Pipe()
	t.Cleanup(func() { client.Close() })
	_ = client.SetDeadline(time.Now().Add(time.Minute))
	w := &switchable{server: server}
	x := request(&w.wire, "GET", target, "", func(r *exchange.Request) { r.Upgrade = offer })
	x.Response.Reset(w, "GET")
	head := make(chan string, 1)
	r := bufio.NewReader(client)
	go func() {
		var b strings.Builder
		for !strings.HasSuffix(b.String(), "\n\r\n") {
			s, err := r.ReadString('\n')
			if err != nil {
				break
			}
			b.WriteString(s)
		}
		head <- b.String()
	}()
	ctx, cancel := context.WithCancel(t.Context())
	f := serve(ctx, g, x)
	cancel() // the exchange is over, the connection is not
	if f != nil {
		return nil, nil, f
	}
	want := "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\nX-Own: yes\r\n\r\n"
	if got := <-head; offer == "echo" && got != want || !x.Response.Hijacked() {
		t.Errorf("the head is %q", got)
	}
	return client, r, nil
}

func TestUpgrade(t *testing.T) {
	g, _ := load(t, Options{})
	if have := get(t, g, "/count"); have != "1" {
		t.Errorf("have %s", have)
	}
	client, r, f := switching(t, g, "echo", "/upgrade?echo")
	if f != nil {
		t.Fatal(f)
	}
	for _, piece := range []string{"one", "two"} {
		if _, err := io.WriteString(client, piece+"\n"); err != nil {
			t.Fatal(err)
		}
		if s, err := r.ReadString('\n'); !strings.HasSuffix(s, piece+"\n") || err != nil {
			t.Errorf("have %q, %v", s, err)
		}
		if have := get(t, g, "/status?200"); have != "" { // there is one place in the pool, and it is free
			t.Errorf("have %q", have)
		}
	}
	_, _ = io.WriteString(client, "\n")
	if rest, err := io.ReadAll(r); string(rest) != "bye" || err != nil {
		t.Errorf("have %q, %v", rest, err)
	}
	g.ending.Wait()
	if len(g.taken.open) != 0 {
		t.Error("the connection is still counted")
	}
}

// TestUpgradeEnds has connections end in all ways; the guest ends with each.
func TestUpgradeEnds(t *testing.T) {
	for _, name := range []string{"client", "stubborn guest", "server"} {
		t.Run(name, func(t *testing.T) {
			g, _ := load(t, Options{})
			protocol := "echo"
			if name == "stubborn guest" {
				protocol = "stubborn"
			}
			client, r, f := switching(t, g, protocol, "/upgrade?"+protocol)
			if f != nil {
				t.Fatal(f)
			}
			if name == "server" {
				_ = g.Close()
				if rest, err := io.ReadAll(r); string(rest) != "" || err != nil {
					t.Errorf("have %q, %v", rest, err)
				}
				return
			}
			client.Close()
			g.ending.Wait()
		})
	}
}

func TestUpgradeRefused(t *testing.T) {
	g, _ := load(t, Options{Instances: 2})
	for _, c := range []struct{ offer, target, want string }{
		{"", "/upgrade?echo", "the client offers"},
		{"websocket, h2c", "/upgrade?echo", "the client offers"},
		{"websocket, h2c", "/upgrade?", "the client offers"},
		{"bad", "/upgrade?bad", "malformed"},
	} {
		_, _, f := switching(t, g, c.offer, c.target)
		if f == nil || f.Status != 502 || f.Reason != exchange.BadResponse || !strings.Contains(f.Error(), c.want) {
			t.Errorf("%+v: %v", c, f)
		}
	}
	var w wire // a front end that cannot
	x := request(&w, "GET", "/upgrade?echo", "", func(r *exchange.Request) { r.Upgrade = "echo" })
	if f := serve(t.Context(), g, x); f == nil || f.Status != 502 {
		t.Errorf("%v", f)
	}
	var head wire
	x = request(&head, "GET", "/head", "", func(r *exchange.Request) { r.Upgrade = "echo" })
	if f := serve(t.Context(), g, x); f != nil || !strings.Contains(head.body.String(), "\nConnection: Upgrade\nUpgrade: echo") {
		t.Errorf("the guest got %q, %v", head.body.String(), f)
	}
}
