package guests_test

import (
	"os"
	"strings"
	"testing"
)

// TestFrameworks serves applications on frameworks that know nothing of guests. Gin takes minutes to compile, and is one of
// the long tests.
func TestFrameworks(t *testing.T) {
	needModules(t, "frameworks")
	for _, name := range []string{"chi", "echo", "gin"} {
		t.Run(name, func(t *testing.T) {
			if name == "gin" && os.Getenv("TORTURE") == "" {
				t.Skip("skipped: TORTURE=1 is not set")
			}
			t.Parallel()
			for _, form := range []struct {
				flags        []string
				stdio, reset bool
			}{
				{flags: []string{"-buildmode=c-shared"}, reset: true},
				{flags: []string{"-tags", "cgi"}, reset: true},
				{flags: []string{"-tags", "stdio"}, stdio: true},
			} {
				h := mustLoad(t, build(t, "frameworks/"+name, form.flags...), options{stdio: form.stdio, reset: form.reset})
				for _, c := range []struct {
					method, target, body string
					status               int
					want                 string
				}{
					{"GET", "/hello/you", "", 200, `{"hello":"you"}`},
					{"POST", "/form", "a=b%20c", 200, `{"a":"b c"}`},
					{"GET", "/panic", "", 500, ""}, // which the frameworks catch
					{"GET", "/nowhere", "", 404, ""},
					{"GET", "/hello/again", "", 200, `{"hello":"again"}`},
				} {
					a := serve(t.Context(), h, request(c.method, c.target, c.body, "Content-Type", "application/x-www-form-urlencoded"))
					if a.err != nil || a.status != c.status || !strings.Contains(string(a.body), c.want) {
						t.Errorf("%v: %s %s: status %d, body %.100q, error %v", form.flags, c.method, c.target, a.status, a.body, a.err)
					}
				}
			}
		})
	}
}
