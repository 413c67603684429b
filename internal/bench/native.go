package main

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"github.com/appserver-go/appserver/http1"
)

const helloText = "Hello from WebAssembly!\n"

// nativeHandler answers as hello.wasm does, and as echo.wasm does where there is a body: what a guest's price is measured
// against.
var nativeHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if r.ContentLength > 0 {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		w.Write(body)
		return
	}
	w.Write([]byte(helloText))
})

func serveNative(addr string) error { return http.ListenAndServe(addr, nativeHandler) }

// inheritedFD is where a child of servePair has its socket.
const inheritedFD = 3

// servePair serves with two processes that accept from one socket.
func servePair(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		return err
	}
	ended := make(chan error)
	for range 2 {
		child := exec.Command("/proc/self/exe", "inherit", addr)
		child.ExtraFiles = []*os.File{file}
		child.Stderr = os.Stderr
		child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		runtime.LockOSThread() // for good: the signal comes when this thread ends
		if err := child.Start(); err != nil {
			return err
		}
		go func() { ended <- child.Wait() }()
	}
	return <-ended
}

// serveInherited is a child of servePair.
func serveInherited(string) error {
	l, err := net.FileListener(os.NewFile(inheritedFD, "listener"))
	if err != nil {
		return err
	}
	return http.Serve(l, nativeHandler)
}

// serveFront answers the same from the front end alone, without workers and guests.
func serveFront(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	body := []byte(helloText)
	return http1.New(http1.Options{
		Handler: func(c *http1.Call) {
			c.Response.Fields.Add("Content-Type", "text/plain; charset=utf-8")
			if _, err := c.Response.Write(body); err == nil {
				_ = c.Response.Finish() // the client is gone, and the server closes its connection
			}
		},
		Keepalive: keepalive, HeaderTimeout: keepalive, StallTimeout: keepalive, Log: slog.Default(),
	}).Serve(l)
}

// serveHere runs one of the servers that are part of this command.
func serveHere(name, addr string) {
	serve := map[string]func(string) error{
		"native": serveNative, "front": serveFront, "pair": servePair, "inherit": serveInherited,
	}[name]
	if err := serve(addr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
