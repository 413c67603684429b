// Command waf is a middleware: the OWASP Core Rule Set, run by Coraza, in front of whatever the server passes requests on to.
// Its configuration is further directives, which come last.
package main

import (
	"net/http"
	"os"

	"github.com/appserver-go/appserver/guests/kit"
	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
	"github.com/corazawaf/coraza/v3"
	txhttp "github.com/corazawaf/coraza/v3/http"
	"github.com/corazawaf/coraza/v3/types"
)

// directives refuse what the rule set finds. Responses pass untouched, and so need not be held back.
const directives = `
Include @coraza.conf-recommended
Include @crs-setup.conf.example
SecRuleEngine On
SecResponseBodyAccess Off
SecAuditEngine Off
Include @owasp_crs/*.conf
`

func init() {
	config := coraza.NewWAFConfig().
		WithRootFS(coreruleset.FS).
		WithDirectives(directives + string(kit.Config())).
		WithErrorCallback(func(rule types.MatchedRule) { kit.Log().Warn(rule.ErrorLog()) })
	waf, err := coraza.NewWAF(config)
	if err != nil {
		kit.Log().Error("the rules", "error", err)
		os.Exit(1)
	}
	kit.HandleMiddleware(func(next http.Handler) http.Handler {
		return txhttp.WrapHandler(waf, next)
	})
}

func main() { kit.Main() }
