// Command go-hello is a small web program for the guest kit: it shows what a handler inside WebAssembly can do, and
// the server's tests serve it. README.md says how to build and serve it.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/appserver-go/appserver/guests/kit"
)

func init() { kit.Handle(newMux(kit.Config())) }

func main() { kit.Main() }

// newMux returns the program's handler; config is shown by /env.
func newMux(config []byte) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", hello)
	mux.HandleFunc("GET /json", asJSON)
	mux.HandleFunc("/echo", echo)
	mux.HandleFunc("GET /env", func(w http.ResponseWriter, _ *http.Request) { listEnv(w, config) })
	mux.HandleFunc("GET /slow", slow)
	mux.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { panic("asked to by /panic") })
	return mux
}

// hello leaves the Content-Type to be guessed.
func hello(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(w, "Hello from Go in WebAssembly!")
}

// asJSON describes the request as the guest sees it.
func asJSON(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	err := json.NewEncoder(w).Encode(map[string]any{
		"method": r.Method, "host": r.Host, "path": r.URL.Path, "query": r.URL.Query(), "proto": r.Proto,
		"remote": r.RemoteAddr, "header": r.Header,
	})
	if err != nil {
		kit.Log().Warn("write response", "error", err)
	}
}

// echo answers with the request's body, piece by piece as it arrives.
func echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
	w.Header().Set("X-Method", r.Method)
	w.Header().Add("X-Length", strconv.FormatInt(r.ContentLength, 10))
	if _, err := io.Copy(w, r.Body); err != nil {
		kit.Log().Warn("copy body", "error", err)
	}
}

// listEnv shows the configuration and all of the environment: a guest has only what the server gave it.
func listEnv(w http.ResponseWriter, config []byte) {
	fmt.Fprintf(w, "config %q\n", config)
	env := os.Environ()
	slices.Sort(env)
	for _, kv := range env {
		fmt.Fprintf(w, "env %q\n", kv)
	}
}

// slow writes three lines, each as long after the other as the query's "wait" says, 100ms without.
func slow(w http.ResponseWriter, r *http.Request) {
	wait := 100 * time.Millisecond
	if s := r.FormValue("wait"); s != "" {
		var err error
		if wait, err = time.ParseDuration(s); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	for i := range 3 {
		fmt.Fprintln(w, "line", i)
		if err := http.NewResponseController(w).Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return
		}
		time.Sleep(wait)
	}
}
