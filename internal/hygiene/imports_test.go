package hygiene

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/appserver-go/appserver"

// rule says which of our own packages a package may import, as path prefixes below the module. A package is governed
// by the longest matching rule. "internal/hygiene" and test helpers are free.
type rule struct {
	pkg   string
	allow []string
	why   string
}

var rules = []rule{
	{"exchange", nil, "exchange is the language between front ends and guests: it knows neither"},
	{"internal/fault", nil, "everybody uses fault, so it uses nobody"},
	{"scoreboard", nil, "the scoreboard is memory and its layout, nothing else"},
	{"internal/proto", nil, "the protocol is messages and framing; what they mean is the business of its two ends"},
	{"internal/handover", []string{"sockets", "internal/proto", "internal/fault"}, "the handover is what two arbiters say to each other; what follows is the arbiters' business"},
	{"internal/allowlist", []string{"internal/fault"}, "an allow-list reads URLs; who asks for them is not its business"},
	{"config", []string{"internal/fault", "internal/allowlist"}, "config is plain data below everything that reads it"},
	{"sockets", []string{"internal/fault"}, "sockets know addresses and descriptors, not who uses them"},
	{"reloader", []string{"internal/fault"}, "the reloader turns files into events and knows nothing of workers"},
	{"internal/sdnotify", []string{"internal/fault"}, "sdnotify is a protocol; when to send what is decided by cmd"},
	{"dev", []string{"control", "reloader", "internal/fault"}, "dev stands in front of a whole server and knows it by its command line, log and control socket"},
	{"control", []string{"sockets", "internal/fault"}, "control turns requests of operators into calls of a Backend and knows no arbiter"},
	{"internal/helper", nil, "a helper is a process and its pipes; what it does is the business of who starts it"},
	{"internal/postmortem", []string{"internal/helper"}, "a post-mortem reads registers and a table; it knows no guest"},
	{"internal/hooks", []string{"internal/helper"}, "hooks run commands; what happened is the business of who calls them"},
	{"metrics", []string{"arbiter", "scoreboard"}, "metrics shows what the arbiter has counted and counts nothing by itself"},
	{"internal/statsd", nil, "statsd sends lines; what happened is the business of who calls it"},
	{"internal/otlp", []string{"internal/accesslog"}, "spans are sent as they are; which requests have any is the business of who adds them"},
	{"internal/logsink", []string{"internal/fault"}, "a log sink is an io.Writer; it knows no records"},
	{"internal/accesslog", []string{"internal/fault", "exchange"}, "access-log lines are made from plain records"},
	{
		"arbiter",
		[]string{"config", "sockets", "scoreboard", "internal/proto", "internal/handover", "internal/fault"},
		"the arbiter supervises processes; it never touches guests, requests or log formats",
	},
	{
		"workers",
		[]string{"config", "sockets", "scoreboard", "exchange", "internal/proto", "internal/fault", "internal/accesslog", "internal/httprules", "internal/link", "internal/credentials", "internal/otlp", "http1", "http2"},
		"workers are given a loaded guest as an exchange.Handler and must not know what it is",
	},
	{"workers/sync", []string{"workers", "exchange", "config", "internal/fault"}, "worker classes stand on package workers"},
	{"workers/threaded", []string{"workers", "exchange", "config", "internal/fault"}, "worker classes stand on package workers"},
	{"http1", []string{"exchange", "internal/httprules", "internal/hangup", "internal/link"}, "the front end turns bytes into exchanges and decides nothing else"},
	{"internal/httprules", []string{"exchange"}, "the rules of requests know neither of the front ends that obey them"},
	{"internal/link", nil, "a link is a connection below HTTP; what is spoken on it is the front ends' business"},
	{"internal/credentials", []string{"internal/fault"}, "credentials are read and handed on; who serves with them is not their business"},
	{"internal/hangup", nil, "closing a connection takes a connection and nothing else"},
	{"http2", []string{"exchange", "internal/httprules", "internal/link"}, "the adapter translates net/http to exchange and decides nothing else"},
	{
		"host",
		[]string{"exchange", "host/engine", "host/httpwasm", "host/cgi", "host/stdio", "host/wws", "host/component", "host/goplugin", "host/upstream", "host/boundary", "host/hostcall", "internal/fault"},
		"host runs guests; who serves them is not its business",
	},
	{"host/router", []string{"exchange"}, "the router sends requests to handlers and does not ask what they are"},
	{
		"host/chain",
		[]string{"exchange", "host", "host/engine", "host/router", "host/static", "host/upstream", "internal/fault"},
		"the chain is made of handlers; who serves it is not its business",
	},
	{"host/engine", []string{"host/engine/rewrite", "internal/fault", "internal/postmortem"}, "the engine knows no HTTP"},
	{"host/engine/rewrite", nil, "rewriting turns bytes into bytes"},
	{"host/guestfail", []string{"exchange", "host/engine", "internal/fault"}, "what a failure means is the same for every guest ABI"},
	{
		"host/component",
		[]string{
			"exchange", "host/engine", "host/guestfail", "internal/fault", "host/component/binary", "host/component/types", "host/component/link",
			"host/component/abi", "host/component/wit", "host/component/wasi", "host/component/wasihttp",
		},
		"guest ABIs never import each other",
	},
	{"host/component/binary", nil, "parsing turns bytes into definitions"},
	{"host/component/types", nil, "types are compared and measured, whoever declares them"},
	{"host/component/wit", []string{"host/component/types"}, "WIT becomes types; who implements them is not its business"},
	{"host/component/link", []string{"host/component/binary", "host/component/types"}, "a plan is made without an engine and without a host"},
	{
		"host/component/abi",
		[]string{"host/component/binary", "host/component/types", "host/component/link", "host/engine"},
		"the canonical ABI knows no WASI and no HTTP",
	},
	{"host/component/wasi", []string{"host/component/abi", "host/engine"}, "WASI's own interfaces know no HTTP"},
	{
		"host/component/wasihttp",
		[]string{"exchange", "host/component/abi", "host/component/wasi"},
		"wasi:http is a view of an exchange",
	},
	{"host/httpwasm", []string{"exchange", "host/engine", "host/guestfail", "internal/fault"}, "guest ABIs never import each other"},
	{"host/wws", []string{"exchange", "host/engine", "host/guestfail", "internal/fault"}, "guest ABIs never import each other"},
	{"host/cgi", []string{"exchange", "host/engine", "internal/fault"}, "guest ABIs never import each other"},
	{"host/stdio", []string{"exchange", "host/engine", "internal/fault"}, "guest ABIs never import each other"},
	{"host/boundary", []string{"exchange", "internal/allowlist"}, "the boundary decides; it neither connects nor knows WebAssembly"},
	{"host/hostcall", []string{"host/boundary", "host/engine"}, "host calls are pointers and numbers; what they do is the boundary's business"},
	{"host/outbound", []string{"exchange", "host/boundary", "internal/allowlist"}, "the client of guests knows no guest"},
	{"host/goplugin", []string{"exchange", "internal/fault", "internal/httpwriter"}, "guest ABIs never import each other"},
	{"host/upstream", []string{"exchange", "internal/fault", "internal/httpwriter"}, "an upstream is a handler, not a guest"},
	{"host/static", []string{"exchange", "internal/fault"}, "files are served by a handler that knows no guest"},
	{"internal/httpwriter", []string{"exchange"}, "the writer fills exchange.Response and decides nothing"},
	{"guests", nil, "guests run inside: they share no code with the server"},
	{"guests/kit", nil, "the kit is compiled into guests: it shares no code with the server"},
	{"guests/go-hello", []string{"guests/kit"}, "an example shows what its readers can do, with the kit alone"},
	{"guests/webdav", []string{"guests/kit"}, "an example shows what its readers can do, with the kit alone"},
	{"internal/load", nil, "the load client judges the server from outside"},
}

// external names modules that only some packages may import.
var external = []struct {
	pkg   string
	allow []string
	why   string
}{
	{"github.com/tetratelabs/wazero", []string{"host/engine", "host/httpwasm", "host/cgi", "host/component/abi", "host/component/wasi", "host/stdio", "host/hostcall"}, "only the engine and the guest ABIs speak wazero"},
	{"github.com/spf13/viper", []string{"cmd/appserver"}, "below cmd a setting is a field of config.Config"},
	{"github.com/spf13/cobra", []string{"cmd/appserver"}, "the command line is cmd's"},
	{"github.com/lmittmann/tint", []string{"cmd/appserver"}, "below cmd a log is a *slog.Logger"},
	{"net/http", []string{
		"http2", "internal/httpwriter", "host/upstream", "host/outbound", "host/goplugin", "host/stdio", "guests", "guests/kit", "guests/go-hello", "guests/webdav", "cmd/appserver", "control", "dev", "metrics", "internal/bench", "internal/otlp", "internal/otlp/otlptest",
	}, "requests travel as exchange.Exchange; only adapters know net/http"},
}

type pkgInfo struct {
	ImportPath string
	Imports    []string
	Dir        string
}

// list asks the go tool for the packages of the module, without test files: tests may reach across rooms.
func list(t *testing.T) []pkgInfo {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,Dir", module+"/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var pkgs []pkgInfo
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkgInfo
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

func TestImportsRunDownward(t *testing.T) {
	for _, p := range list(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		i := slices.IndexFunc(rules, func(r rule) bool { return r.pkg == name })
		if i < 0 && !free(name) {
			t.Errorf("package %s has no import rule: add one to internal/hygiene, with its reason", name)
			continue
		}
		for _, imp := range p.Imports {
			own, ok := strings.CutPrefix(imp, module+"/")
			if ok && i >= 0 && !slices.Contains(rules[i].allow, own) {
				t.Errorf("%s must not import %s: %s", name, own, rules[i].why)
			}
			checkExternal(t, name, imp)
		}
	}
}

func checkExternal(t *testing.T, name, imp string) {
	t.Helper()
	for _, e := range external {
		if (imp == e.pkg || strings.HasPrefix(imp, e.pkg+"/")) && !slices.Contains(e.allow, name) {
			t.Errorf("%s must not import %s: %s", name, imp, e.why)
		}
	}
}

// free reports whether a package may import anything of ours: commands, and helpers of tests and benchmarks.
func free(name string) bool {
	return strings.HasPrefix(name, "cmd/") || name == "internal/hygiene" || name == "internal/bench" || strings.HasSuffix(name, "test")
}
