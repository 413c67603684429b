package host

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/appserver-go/appserver/host/component"
	"github.com/appserver-go/appserver/host/engine"
	"github.com/appserver-go/appserver/internal/fault"
)

// startComponent compiles a component and makes its handler.
func (g *Guest) startComponent(ctx context.Context, o *Options, dirs []engine.Dir) (err error) {
	if o.Protocol != "" && o.Protocol != ProtocolAuto {
		return fault.WithCode(fault.LoadFailed, "leave guest.protocol out, or build a core module", "a component does not speak the protocol %q", o.Protocol)
	}
	module := o.module()
	opts := component.Options{
		Module: &module,
		Env:    o.Env, Args: o.Args, Dirs: dirs, Instances: o.Instances, Isolation: o.Isolation, Warmup: o.Warmup, Log: o.Log, GuestLog: o.line(), MaxRequests: o.MaxRequests,
	}
	if g.component, err = component.Load(ctx, g.engine, o.Wasm, opts); err != nil {
		return err
	}
	g.protocol = ProtocolComponent
	if missing := g.component.Missing(); len(missing) > 0 {
		o.Log.Warn("The guest imports functions that do not exist; calling one ends its request", "functions", list(missing))
	}
	o.Stage("starting")
	h, err := component.New(ctx, g.component, opts)
	if err != nil {
		return err
	}
	g.handler = h
	return nil
}

// componentFacts is Describe for a component.
func (g *Guest) componentFacts() []Fact {
	c := g.component
	var memories []string
	for _, m := range c.Modules() {
		if mem, ok := m.Memory(); ok {
			memories = append(memories, fmt.Sprintf("%s to start, %s at most", size(int64(mem.Min)<<16), size(int64(mem.Max)<<16)))
		}
	}
	facts := []Fact{
		{"protocol", g.protocol},
		{"size", size(int64(c.Size()))},
		{"compiled in", c.CompileTime().Round(time.Millisecond / 10).String()},
		{"core modules", strconv.Itoa(len(c.Modules()))},
		{"memory", strings.Join(memories, "; ")},
		{"imports", strconv.Itoa(c.Imports()) + " functions"},
		{"exports", list(c.Exports())},
	}
	if missing := c.Missing(); len(missing) > 0 {
		facts = append(facts, Fact{"missing", list(missing) + "; calling one ends the request"})
	}
	if h, ok := g.handler.(*component.Guest); ok {
		facts = append(facts, Fact{"instances", strconv.Itoa(g.instances) + " at most"}, Fact{"isolation", string(h.Isolation())})
	}
	return facts
}
