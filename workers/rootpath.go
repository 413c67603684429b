package workers

import (
	"strings"

	"github.com/appserver-go/appserver/exchange"
)

// prefixField tells guests that know no SCRIPT_NAME of it.
const prefixField = "X-Forwarded-Prefix"

// underRoot makes a request one for a guest that clients see at a path, "" being the root. A path that does not begin with
// it comes from a proxy that has taken it off.
func underRoot(r *exchange.Request, root string) {
	if root == "" {
		return
	}
	r.ScriptName = root
	r.Fields.Set(prefixField, root)
	rest, ok := strings.CutPrefix(r.Target, root)
	switch {
	case !ok || rest != "" && rest[0] != '/' && rest[0] != '?':
	case rest == "" || rest[0] == '?':
		r.Received, r.Target = r.Target, "/"+rest
	default:
		r.Received, r.Target = r.Target, rest
	}
}
