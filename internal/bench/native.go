package main

import (
	"fmt"
	"net/http"
	"os"
)

// serveNative answers as hello.wasm does, from net/http: what a guest's price is measured against.
func serveNative(addr string) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Write([]byte("Hello from WebAssembly!\n"))
	})
	if err := http.ListenAndServe(addr, handler); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
