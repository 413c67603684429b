package kit

import (
	"io"
	"net/http"
)

// reseeds are the functions given to OnReseed, package state for the reason that registered is.
var reseeds []func()

// OnReseed has f called before each request that the server serves from an image of this guest's memory
// (guest.isolation = "reset"), before the handler. All such requests begin with the same memory, and so with the same
// random numbers and the same idea of what has happened, as do the requests of a CGI guest, whose start the server
// skips: f is for renewing a generator of random numbers, for example
//
//	kit.OnReseed(func() { random = rand.New(rand.NewPCG(seed())) })
//
// with a seed from crypto/rand. Crypto/rand itself asks the server each time and needs no such care; the functions of
// math/rand and math/rand/v2 that have no generator of their own cannot be renewed, and give the same numbers to each
// request. Call OnReseed in init functions. It has no effect on native programs.
func OnReseed(f func()) { reseeds = append(reseeds, f) }

// reseed calls what OnReseed was given.
func reseed() {
	for _, f := range reseeds {
		f()
	}
}

// warm answers a request that nobody made, with a handler that does next to nothing: what the Go runtime and this
// package do once, or for the first time, is then in the image that every request begins with.
func warm() {
	a := newAdapter(blankHost{}, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, _ = io.WriteString(w, "warm\n")
		})
	}, func(int) {})
	for range 2 {
		a.handleRequest()
	}
}

// blankHost is a host with one plain request that keeps no response.
type blankHost struct{}

func (blankHost) enableFeatures(features uint32) uint32 { return features }
func (blankHost) config() []byte                        { return nil }
func (blankHost) logEnabled(int32) bool                 { return false }
func (blankHost) log(int32, []byte)                     {}

func (blankHost) headerNames(kind uint32) []string {
	if kind != ofRequest {
		return nil
	}
	return []string{"Host", "Accept"}
}

func (blankHost) headerValues(uint32, string) []string      { return []string{"localhost"} }
func (blankHost) setHeader(uint32, string, string)          {}
func (blankHost) addHeader(uint32, string, string)          {}
func (blankHost) removeHeader(uint32, string)               {}
func (blankHost) readBody(uint32, []byte) (n int, eof bool) { return 0, true }
func (blankHost) writeBody(uint32, []byte)                  {}
func (blankHost) method() string                            { return "GET" }
func (blankHost) setMethod(string)                          {}
func (blankHost) uri() string                               { return "/" }
func (blankHost) setURI(string)                             {}
func (blankHost) protocol() string                          { return "HTTP/1.1" }
func (blankHost) sourceAddr() string                        { return "127.0.0.1:0" }
func (blankHost) status() int                               { return 200 }
func (blankHost) setStatus(int)                             {}
