package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"

	"github.com/appserver-go/appserver/http1"
)

const helloText = "Hello from WebAssembly!\n"

// serveNative answers as hello.wasm does, from net/http: what a guest's price is measured against.
func serveNative(addr string) error {
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Write([]byte(helloText))
	})
	return http.ListenAndServe(addr, handler)
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
	serve := serveNative
	if name == "front" {
		serve = serveFront
	}
	if err := serve(addr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
