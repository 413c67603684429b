// Outbound calls other servers for its clients, in whatever way they ask for.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/appserver-go/appserver/guests/kit"
)

var client = &http.Client{Transport: kit.Transport()}

// atStart is what a call during the start brought.
var atStart = "none"

func init() {
	if url := os.Getenv("CALL_AT_START"); url != "" {
		_, err := client.Get(url)
		atStart = fmt.Sprint(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/fetch", fetch)
	mux.HandleFunc("/many", many)
	mux.HandleFunc("/leave", leave)
	mux.HandleFunc("/env", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%s", os.Getenv(r.FormValue("name"))) })
	mux.HandleFunc("/start", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, atStart) })
	kit.Handle(mux)
}

func main() { kit.Main() }

// fetch makes one request. The size is that of a body to send, the answer what came of it.
func fetch(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	var body io.Reader
	if n, err := strconv.Atoi(q.Get("size")); err == nil {
		body = strings.NewReader(strings.Repeat("x", n))
		if q.Has("chunked") {
			body = io.MultiReader(body)
		}
	}
	ctx := context.Background()
	if d, err := time.ParseDuration(q.Get("timeout")); err == nil {
		var cancel func()
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	req, err := http.NewRequestWithContext(ctx, q.Get("method"), q.Get("url"), body)
	if err != nil {
		fmt.Fprintf(w, "error: %v", err)
		return
	}
	if host := q.Get("host"); host != "" {
		req.Host = host
	}
	if name := q.Get("field"); name != "" {
		req.Header.Set(name, "1")
	}
	res, err := client.Do(req)
	if err != nil {
		tell(w, err)
		return
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		tell(w, err)
		return
	}
	fmt.Fprintf(w, "%s, %d bytes, length %d, sum %q, from %q\n", res.Status, len(got), res.ContentLength, res.Trailer.Get("X-Sum"), res.Header["X-From"])
	w.Write(got[:min(len(got), 1000)])
}

func tell(w http.ResponseWriter, err error) {
	var h *kit.HostError
	code := 0
	if errors.As(err, &h) {
		code = h.Code
	}
	fmt.Fprintf(w, "error: code %d, %v", code, err)
}

// many has requests open at the same time.
func many(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.Atoi(r.FormValue("n"))
	var wg sync.WaitGroup
	results := make([]string, n)
	for i := range n {
		wg.Go(func() {
			res, err := client.Get(fmt.Sprintf("%s%d", r.FormValue("url"), i))
			if err != nil {
				results[i] = err.Error()
				return
			}
			defer res.Body.Close()
			b, _ := io.ReadAll(res.Body)
			results[i] = string(b)
		})
	}
	wg.Wait()
	fmt.Fprint(w, strings.Join(results, "\n"))
}

// kept is a response that outlives the request it was asked for.
var kept *http.Response

// leave leaves a response open, and reads on in the one that the request before has left.
func leave(w http.ResponseWriter, r *http.Request) {
	if kept != nil {
		_, err := kept.Body.Read(make([]byte, 1))
		kept = nil
		fmt.Fprintf(w, "kept: %v", err)
		return
	}
	var err error
	kept, err = client.Get(r.FormValue("url"))
	fmt.Fprintf(w, "left: %v", err)
}
