// Command httpbin serves go-httpbin, a program that nobody wrote for this, as a guest. Its configuration, in JSON, says what
// the options of that package would; without one they are the package's defaults.
package main

import (
	"encoding/json"
	"log/slog"
	"os"
	"time"

	"github.com/appserver-go/appserver/guests/kit"
	"github.com/mccutchen/go-httpbin/v2/httpbin"
)

// options are those of the package that tests change; the zero value of each leaves the default.
type options struct {
	Prefix         string
	MaxBodySize    int64
	MaxDuration    time.Duration
	Defaults       *httpbin.DefaultParams
	Redirects      []string // domains that may be redirected to
	Unsafe         bool
	ExcludeHeaders string
	Hostname       string
	Version        []string // service, version, commit, date of the build, version of Go
}

func init() {
	var o options
	if config := kit.Config(); len(config) > 0 {
		if err := json.Unmarshal(config, &o); err != nil {
			kit.Log().Error("the guest's configuration", "error", err)
			os.Exit(1)
		}
	}
	kit.Handle(httpbin.New(o.list()...))
}

func main() { kit.Main() }

// list makes the package's options.
func (o *options) list() []httpbin.OptionFunc {
	list := []httpbin.OptionFunc{httpbin.WithPrefix(o.Prefix), httpbin.WithObserver(httpbin.StdLogObserver(slog.New(slog.DiscardHandler)))}
	add := func(set bool, option httpbin.OptionFunc) {
		if set {
			list = append(list, option)
		}
	}
	add(o.MaxBodySize > 0, httpbin.WithMaxBodySize(o.MaxBodySize))
	add(o.MaxDuration > 0, httpbin.WithMaxDuration(o.MaxDuration))
	add(len(o.Redirects) > 0, httpbin.WithAllowedRedirectDomains(o.Redirects))
	add(o.Unsafe, httpbin.WithUnsafeAllowDangerousResponses())
	add(o.ExcludeHeaders != "", httpbin.WithExcludeHeaders(o.ExcludeHeaders))
	add(o.Hostname != "", httpbin.WithHostname(o.Hostname))
	if o.Defaults != nil {
		list = append(list, httpbin.WithDefaultParams(*o.Defaults))
	}
	if v := o.Version; len(v) == 5 {
		list = append(list, httpbin.WithVersion(v[0], v[1], v[2], v[3], v[4]))
	}
	return list
}
