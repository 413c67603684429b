// Command app is a plugin whose paths do what handlers do, well and badly.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"
)

const version = "one"

// NewHandler fails or panics where the configuration says so.
func NewHandler(config map[string]string) (http.Handler, error) {
	switch config["boot"] {
	case "error":
		return nil, errors.New("the database is not there")
	case "panic":
		var m map[string]int
		m["x"] = 1
	case "nil":
		return nil, nil
	}
	closed = config["closed"]
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "<html>%s %s %s", config["greeting"], version, r.URL.Query().Get("q"))
	})
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Length")
		w.Header().Set("Content-Type", "text/x")
		n, _ := io.Copy(w, r.Body)
		w.Header().Set("X-Length", fmt.Sprint(n))
	})
	mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { panic("a bug of the plugin") })
	mux.HandleFunc("/abort", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "half of it")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("/socket", webSocket)
	mux.HandleFunc("/hints", hints)
	mux.HandleFunc("/obey", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/stuck", func(http.ResponseWriter, *http.Request) { select {} })
	mux.HandleFunc("/late", func(http.ResponseWriter, *http.Request) { time.Sleep(1500 * time.Millisecond) })
	mux.HandleFunc("/print", func(http.ResponseWriter, *http.Request) {
		fmt.Println("printed on stdout")
		log.Print("logged by the plugin")
	})
	return mux, nil
}

var closed string

// Close tells the test that it was called.
func Close(context.Context) error {
	if closed == "" {
		return nil
	}
	return os.WriteFile(closed, []byte("closed"), 0o600)
}

func main() {}
