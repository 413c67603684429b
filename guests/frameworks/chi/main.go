// Command chi is an application on chi, as a guest.
package main

import (
	"encoding/json"
	"net/http"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/appserver-go/appserver/guests/kit"
)

func init() {
	r := chi.NewRouter()
	r.Use(middleware.Recoverer)
	r.Get("/hello/{name}", func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"hello": chi.URLParam(r, "name")})
	})
	r.Post("/form", func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"a": r.FormValue("a")})
	})
	r.Get("/panic", func(http.ResponseWriter, *http.Request) { panic("asked to by /panic") })
	kit.Handle(r)
}

func main() { kit.Main() }
