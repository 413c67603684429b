package component

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/host/component/wasihttp"
	"github.com/appserver-go/appserver/host/engine"
)

// clientFunc is a wasihttp.Client.
type clientFunc func(ctx context.Context, r *wasihttp.ClientRequest) (*wasihttp.ClientResponse, error)

func (f clientFunc) Do(ctx context.Context, r *wasihttp.ClientRequest) (*wasihttp.ClientResponse, error) {
	return f(ctx, r)
}

// closing is a body that tells when it is closed.
type closing struct {
	io.Reader
	closed *bool
}

func (c closing) Close() error {
	*c.closed = true
	return nil
}

func TestCall(t *testing.T) {
	closed := false
	client := clientFunc(func(_ context.Context, r *wasihttp.ClientRequest) (*wasihttp.ClientResponse, error) {
		if r.Method != "POST" || r.Scheme != "https" || r.Authority != "upstream" || r.Path != "/call?x" || r.Length != -1 {
			t.Errorf("the client was asked for %+v", r)
		}
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		return &wasihttp.ClientResponse{
			Status: 203, Body: closing{strings.NewReader("pong for " + string(b)), &closed},
			Trailers: func() exchange.Fields { return nil },
		}, nil
	})
	s := load(t, testdata(t, "probe"), engine.Options{VerifyReset: true}, Options{Isolation: engine.IsolationReset, Client: client})
	for range 3 {
		closed = false
		if a := s.ask(t.Context(), "GET", "/call", ""); a.err != nil || a.status != 203 || a.body.String() != "pong for ping" {
			t.Errorf("%s", a)
		}
		if !closed {
			t.Error("the response's body was not closed")
		}
	}
}

// TestCallFails tries clients that do not answer.
func TestCallFails(t *testing.T) {
	for _, tt := range []struct {
		name   string
		client wasihttp.Client
		want   string
	}{
		{"denied", nil, "15\n"},
		{"code", clientFunc(func(_ context.Context, r *wasihttp.ClientRequest) (*wasihttp.ClientResponse, error) {
			r.Body.Close()
			return nil, &wasihttp.CodeError{Code: "connection-refused", Text: "nobody there"}
		}), "6\n"},
		{"other", clientFunc(func(_ context.Context, r *wasihttp.ClientRequest) (*wasihttp.ClientResponse, error) {
			r.Body.Close()
			return nil, errors.New("something else")
		}), "38\n"},
	} {
		s := load(t, testdata(t, "probe"), engine.Options{}, Options{Isolation: engine.IsolationReset, Client: tt.client})
		if a := s.ask(t.Context(), "GET", "/call", ""); a.err != nil || a.body.String() != tt.want {
			t.Errorf("%s: %s", tt.name, a)
		}
	}
}

// TestCallTimesOut sees that a call that hangs ends with the request that it is made for.
func TestCallTimesOut(t *testing.T) {
	over := make(chan struct{}, 1)
	client := clientFunc(func(ctx context.Context, r *wasihttp.ClientRequest) (*wasihttp.ClientResponse, error) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-ctx.Done()
		over <- struct{}{}
		return nil, ctx.Err()
	})
	s := load(t, testdata(t, "probe"), engine.Options{VerifyReset: true}, Options{Isolation: engine.IsolationReset, Client: client})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	a := s.ask(ctx, "GET", "/call", "")
	if a.status != 504 || len(over) != 1 {
		t.Errorf("%s, %d calls over", a, len(over))
	}
}
