package workers

import (
	"strings"

	"github.com/appserver-go/appserver/exchange"
)

// underRoot makes a request one for a guest that clients see at a path, "" being the root. A path that does not begin with
// it comes from a proxy that has taken it off.
func underRoot(r *exchange.Request, root string) {
	if root == "" {
		return
	}
	r.Mount(root)
	if rest, ok := strings.CutPrefix(r.Target, root); ok && (rest == "" || rest[0] == '/' || rest[0] == '?') {
		r.Retarget(rest)
	}
}
