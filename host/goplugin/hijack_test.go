package goplugin

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// hijackable is a front end whose connection can be taken over.
type hijackable struct {
	wire
	server net.Conn
}

func (s *hijackable) Hijack() (net.Conn, error) { return s.server, nil }

// TestHijack checks that Serve returns when the handler takes the connection, with everything the handler may still use
// cut off but the connection and a context that lasts as long as the handler runs.
func TestHijack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		x, _ := post("the body")
		x.Request.Upgrade = "x"
		x.Response.Reset(&hijackable{server: server}, "GET")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		var later context.Context
		h := handlerFor(func(w http.ResponseWriter, r *http.Request) {
			later = r.Context()
			if r.Header.Get("Upgrade") != "x" || r.Header.Get("Connection") != "Upgrade" {
				t.Errorf("header %v", r.Header)
			}
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			if _, err := io.WriteString(w, "x"); !errors.Is(err, http.ErrHijacked) {
				t.Errorf("Write after Hijack: %v", err)
			}
			if _, _, err := w.(http.Hijacker).Hijack(); !errors.Is(err, http.ErrHijacked) {
				t.Errorf("Hijack after Hijack: %v", err)
			}
			if _, err := r.Body.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
				t.Errorf("reading the body after Hijack: %v", err)
			}
			time.Sleep(time.Hour)
			if _, limited := r.Context().Deadline(); r.Context().Err() != nil || limited {
				t.Errorf("the context ended with the request: %v", r.Context().Err())
			}
			rw.WriteString("switched")
			rw.Flush()
		})
		if err := h.Serve(ctx, x); err != nil || !x.Response.Hijacked() || x.Response.Status != 101 {
			t.Errorf("%v, status %d", err, x.Response.Status)
		}
		cancel()
		if got, err := io.ReadAll(client); string(got) != "switched" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		synctest.Wait()
		if !errors.Is(later.Err(), context.Canceled) || h.running.Load() != 0 {
			t.Errorf("after the handler: %v, %d run", later.Err(), h.running.Load())
		}
	})
}

// A panic after the hand-over is logged and closes the connection: nobody else would.
func TestPanicAfterHijack(t *testing.T) {
	client, server := net.Pipe()
	x, _ := post("")
	x.Response.Reset(&hijackable{server: server}, "GET")
	var log bytes.Buffer
	h := handlerFor(func(w http.ResponseWriter, _ *http.Request) {
		if _, _, err := w.(http.Hijacker).Hijack(); err != nil {
			t.Error(err)
		}
		panic("a bug")
	})
	h.log = slog.New(slog.NewTextHandler(&log, nil))
	if err := h.Serve(t.Context(), x); err != nil {
		t.Error(err)
	}
	if n, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("read %d bytes, %v", n, err)
	}
	for h.running.Load() > 0 {
		time.Sleep(time.Millisecond)
	}
	if !strings.Contains(log.String(), "a bug") || !strings.Contains(log.String(), "hijack_test.go") {
		t.Errorf("the log says %s", log.String())
	}
}

// A handler whose time is over cannot take the connection, and one whose protocol has none to give is told so.
func TestHijackThatFails(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	x, _ := post("")
	x.Response.Reset(&hijackable{}, "GET")
	err := handlerFor(func(w http.ResponseWriter, _ *http.Request) {
		cancel()
		if _, _, err := w.(http.Hijacker).Hijack(); !errors.Is(err, http.ErrHandlerTimeout) {
			t.Errorf("after the end: %v", err)
		}
	}).Serve(ctx, x)
	if err == nil || x.Response.Hijacked() {
		t.Error("a canceled request succeeded")
	}
	x, _ = post("")
	err = handlerFor(func(w http.ResponseWriter, _ *http.Request) {
		if _, _, err := w.(http.Hijacker).Hijack(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("without a connection: %v", err)
		}
	}).Serve(t.Context(), x)
	if err != nil {
		t.Error(err)
	}
}
