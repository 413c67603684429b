package host

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/appserver-go/appserver/host/cgi"
	"github.com/appserver-go/appserver/host/engine"
	"github.com/appserver-go/appserver/host/httpwasm"
)

// Fact is one line of what is known of a guest.
type Fact struct {
	Key, Value string
}

// Describe returns what is known of the guest, for status and `appserver check`, in the order to show it. Names that
// come from the module are quoted.
func (g *Guest) Describe() []Fact {
	if g.component != nil {
		return g.componentFacts()
	}
	if g.module == nil {
		return g.facts
	}
	m := g.module
	facts := []Fact{
		{"protocol", g.protocol},
		{"size", size(int64(m.Size()))},
		{"compiled in", m.CompileTime().Round(time.Millisecond / 10).String()},
		{"memory", "none"},
		{"tables", "none"},
		{"imports", importSummary(m)},
		{"exports", list(exportNames(m))},
	}
	if mem, ok := m.Memory(); ok {
		facts[3].Value = fmt.Sprintf("%s to start, %s at most", size(int64(mem.Min)<<16), size(int64(mem.Max)<<16))
	}
	if tables := m.Tables(); len(tables) > 0 {
		parts := make([]string, len(tables))
		for i, t := range tables {
			parts[i] = fmt.Sprintf("%d to %d elements", t.Min, t.Max)
		}
		facts[4].Value = strings.Join(parts, ", ")
	}
	return append(facts, g.instanceFacts()...)
}

// instanceFacts say how many instances there are, and what a request finds in one.
func (g *Guest) instanceFacts() []Fact {
	most := Fact{"instances", strconv.Itoa(g.instances) + " at most"}
	switch h := g.handler.(type) {
	case *httpwasm.Guest:
		return []Fact{most, {"isolation", string(h.Isolation())}}
	case *cgi.Guest:
		if from := h.From(); from != "" {
			return []Fact{most, {"isolation", "reset, each request goes on from " + from}}
		}
	}
	return []Fact{{"instances", "a fresh one for each request"}}
}

// importSummary says how many functions of which modules are imported.
func importSummary(m *engine.Module) string {
	var modules []string
	count := map[string]int{}
	for _, i := range m.Imports() {
		if count[i.Module] == 0 {
			modules = append(modules, i.Module)
		}
		count[i.Module]++
	}
	if len(modules) == 0 {
		return "none"
	}
	for n, name := range modules {
		unit := "functions"
		if count[name] == 1 {
			unit = "function"
		}
		modules[n] = fmt.Sprintf("%d %s of %q", count[name], unit, clip(name))
	}
	return strings.Join(modules, ", ")
}

// size writes a number of bytes in binary units, as configuration files have them.
func size(n int64) string {
	units := [...]string{"B", "KiB", "MiB", "GiB"}
	u, div := 0, int64(1)
	for u < len(units)-1 && n >= div*1024 {
		u, div = u+1, div*1024
	}
	if n%div == 0 {
		return fmt.Sprintf("%d %s", n/div, units[u])
	}
	return fmt.Sprintf("%.1f %s", float64(n)/float64(div), units[u])
}
