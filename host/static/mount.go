package static

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/appserver-go/appserver/exchange"
	"github.com/appserver-go/appserver/internal/fault"
)

// Mount is a directory and the prefix of the paths that lead into it.
type Mount struct {
	// Prefix begins with a slash and ends with one only if it is one.
	Prefix string
	// Dir is the directory's path.
	Dir string
}

// Parse reads an item of the static setting, "/prefix=directory". The error is a *fault.Error.
func Parse(text string) (Mount, error) {
	prefix, dir, ok := strings.Cut(text, "=")
	switch {
	case !ok || prefix == "" || dir == "":
		return Mount{}, fault.New("write it like /assets=./dist", "static: %q does not name a prefix and a directory", text)
	case prefix[0] != '/' || path.Clean(prefix) != prefix && path.Clean(prefix)+"/" != prefix || strings.ContainsAny(prefix, "%?#\\"):
		return Mount{}, fault.New("write it like /assets=./dist", "static: %q is not a plain path from the root", prefix)
	}
	return Mount{Prefix: path.Clean(prefix), Dir: dir}, nil
}

// Handler serves the files of its mounts. It is safe for concurrent use.
type Handler struct {
	roots []root // longest prefixes first
}

type root struct {
	prefix string // with a slash at its end
	dir    *os.Root
}

// Open opens the directories of mounts, in the form of Parse. It needs the rights for the way to a directory only now, those
// for what is in it when it is asked for. Errors are faults.
func Open(mounts []string) (*Handler, error) {
	h := &Handler{}
	for _, text := range mounts {
		m, err := Parse(text)
		if err != nil {
			return nil, errors.Join(err, h.Close())
		}
		dir, err := os.OpenRoot(m.Dir)
		if err != nil {
			return nil, &fault.Error{Err: fmt.Errorf("static: %w", err), Hint: "create the directory, or mend the setting"}
		}
		h.roots = append(h.roots, root{prefix: strings.TrimSuffix(m.Prefix, "/") + "/", dir: dir})
	}
	slices.SortStableFunc(h.roots, func(a, b root) int { return len(b.prefix) - len(a.prefix) })
	return h, nil
}

// Close closes the directories. No request may be served then.
func (h *Handler) Close() error {
	var errs []error
	for _, r := range h.roots {
		errs = append(errs, r.dir.Close())
	}
	return errors.Join(errs...)
}

// Has reports whether a request's path, still escaped, leads to a mount.
func (h *Handler) Has(escaped string) bool {
	_, _, ok := h.find(escaped)
	return ok
}

// find returns the mount of a path and what of the path is below it, decoded. A path that cannot be decoded leads
// to none: it is for somebody else to judge.
func (h *Handler) find(escaped string) (r root, rest string, ok bool) {
	if len(h.roots) == 0 {
		return root{}, "", false
	}
	decoded, ok := unescape(escaped)
	if !ok {
		return root{}, "", false
	}
	for _, r := range h.roots {
		if below, ok := strings.CutPrefix(decoded, r.prefix); ok {
			return r, "/" + below, true
		}
		if decoded == r.prefix[:len(r.prefix)-1] {
			return r, "", true
		}
	}
	return root{}, "", false
}

// Serve implements exchange.Handler. Whatever does not lead to a mount is not found.
func (h *Handler) Serve(_ context.Context, x *exchange.Exchange) error {
	r, rest, ok := h.find(x.Request.Path())
	if !ok {
		return exchange.Fail(404, exchange.NotFound, "no static directory has this path")
	}
	if x.Request.Method != "GET" && x.Request.Method != "HEAD" {
		x.Response.Fields.Add("Allow", "GET, HEAD")
		return answer(x, 405, "405 Method Not Allowed\n")
	}
	return r.serve(x, rest)
}

// answer fills in a response of the package's own.
func answer(x *exchange.Exchange, status int, text string) error {
	x.Response.Status = status
	x.Response.Fields.Add("Content-Type", "text/plain; charset=utf-8")
	_, err := x.Response.Write([]byte(text))
	return err
}
