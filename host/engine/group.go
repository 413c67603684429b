package engine

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/appserver-go/appserver/host/engine/rewrite"
	"github.com/appserver-go/appserver/internal/fault"
)

// Group is a number of modules whose instances are made, called, captured and reset together, because they import each
// other's functions, memories, tables and globals: the core modules of a component. It is safe for concurrent use.
type Group struct {
	engine  *Engine
	opts    ModuleOptions
	members []*Module
	lasting string
}

// Member is a module of a group.
type Member struct {
	// Wasm is the module. It must not change afterwards.
	Wasm []byte
	// Import says where an import comes from. Errors end the compilation.
	Import func(module, name string, kind Kind) (Source, error)
}

// Source is where an import comes from: the export Name of a member before, or, where Member is negative, of the host's
// module Module.
type Source struct {
	Member       int
	Module, Name string
}

// memberPrefix is what the names begin with by which members import from each other. Numbers follow.
const memberPrefix = "member."

// CompileGroup compiles modules as Compile does. The host modules that they import from must be instantiated before
// their first instance is made.
func (e *Engine) CompileGroup(ctx context.Context, members []Member) (*Group, error) {
	return e.CompileGroupWith(ctx, members, e.opts.module())
}

// CompileGroupWith is CompileGroup for modules with options of their own; siblings share nothing of a group.
func (e *Engine) CompileGroupWith(ctx context.Context, members []Member, o ModuleOptions) (*Group, error) {
	if err := e.admit(&o); err != nil {
		return nil, err
	}
	g := &Group{engine: e, opts: o}
	for n := range members {
		m, err := g.compileMember(ctx, &members[n], n)
		if err != nil {
			return nil, errors.Join(err, g.Close(ctx))
		}
		g.members = append(g.members, m)
		if g.lasting == "" {
			g.lasting = m.lasting
		}
	}
	return g, nil
}

func (g *Group) compileMember(ctx context.Context, member *Member, n int) (*Module, error) {
	e := g.engine
	if err := checkMagic(member.Wasm); err != nil {
		return nil, err
	}
	start := time.Now()
	d, err := rewrite.DecodeLinked(member.Wasm)
	if err != nil {
		return nil, explain(err)
	}
	sources := map[[2]string]Source{}
	for _, i := range d.Imports {
		s, err := member.Import(i.Module, i.Name, i.Kind)
		if err == nil && s.Member >= n {
			err = fmt.Errorf("member %d imports from member %d, which comes later", n, s.Member)
		}
		if err != nil {
			return nil, err
		}
		sources[[2]string{i.Module, i.Name}] = s
	}
	d.Rename = func(module, name string) (string, string) {
		s := sources[[2]string{module, name}]
		if s.Member >= 0 {
			return memberPrefix + strconv.Itoa(s.Member), s.Name
		}
		return s.Module, s.Name
	}
	m := &Module{engine: e, opts: g.opts, size: len(member.Wasm)}
	w, err := m.rewriteDecoded(d)
	if err != nil {
		return nil, err
	}
	compiled, err := e.compileAlone(ctx, w.code)
	if err != nil {
		return nil, err
	}
	e.inUse = true
	m.take(w, compiled)
	m.compileTime = time.Since(start)
	m.describe(d)
	m.publish(d)
	return m, nil
}

// Members returns the modules in their order. The caller must not change it.
func (g *Group) Members() []*Module { return g.members }

// Lasting returns why instances of the group cannot be captured, or "" if they can; see Module.Lasting.
func (g *Group) Lasting() string { return g.lasting }

// Close releases the compiled code. No instance of the group may be live.
func (g *Group) Close(ctx context.Context) error {
	var errs []error
	for _, m := range g.members {
		errs = append(errs, m.Close(ctx))
	}
	return errors.Join(errs...)
}

// GroupInstance is an instance of each member of a group. The rules of Instance hold for it as a whole.
type GroupInstance struct {
	group   *Group
	members []*Instance
	quota   budget // what all memories of the group may have together: as much as an instance
}

// New returns a group of instances that have to be made by Instantiate or Adopt. Functions of the host that are called
// meanwhile can use those members that exist.
func (g *Group) New() *GroupInstance {
	return &GroupInstance{group: g, quota: budget{limit: int64(g.opts.limitPages()) * pageSize}}
}

// Instantiate makes an instance of each member and runs their start functions, in the order of the members; ctx
// bounds them. Errors are those of Module.Instantiate; the instance must be closed then. Start functions that the spec
// names are not run.
func (gi *GroupInstance) Instantiate(ctx context.Context, s Spec) error {
	s.Start = nil
	return gi.build(ctx, &s, func(i *Instance, m *Module) error { return i.start(ctx, m, &s) })
}

// build makes an instance of each member; made is called for each before the next one is made.
func (gi *GroupInstance) build(ctx context.Context, s *Spec, made func(*Instance, *Module) error) error {
	for _, m := range gi.group.members {
		i, err := m.makeIn(ctx, s, gi)
		if err != nil {
			return unlinked(err)
		}
		gi.members = append(gi.members, i)
		if err := made(i, m); err != nil {
			return err
		}
	}
	return nil
}

// unlinked tells an import that does not fit from a failure of the guest.
func unlinked(err error) error {
	var t *Trap
	if !errors.As(err, &t) || t.Kind != KindHost || t.Stack != "" {
		return err
	}
	return fault.WithCode(fault.LoadFailed, "the component may be damaged; build it again", "the component's modules do not fit together: %w", err)
}

// resolve is wazero's question for the module that an import names: nil for those of the host.
func (gi *GroupInstance) resolve(name string) api.Module {
	digits, ok := strings.CutPrefix(name, memberPrefix)
	if !ok {
		return nil
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n < 0 || n >= len(gi.members) {
		return nil
	}
	return gi.members[n].mod
}

// Member returns the instance of a member, to look up functions and call them.
func (gi *GroupInstance) Member(n int) *Instance { return gi.members[n] }

// Broken reports that a member is broken.
func (gi *GroupInstance) Broken() bool {
	for _, i := range gi.members {
		if i.Broken() {
			return true
		}
	}
	return false
}

// Close releases the instances. Calling it again does nothing.
func (gi *GroupInstance) Close() error {
	var errs []error
	for n := len(gi.members) - 1; n >= 0; n-- {
		errs = append(errs, gi.members[n].Close())
	}
	return errors.Join(errs...)
}

// GroupImage is the state of all instances of a group at one moment. The rules of Image hold for it.
type GroupImage struct {
	group  *Group
	images []*Image
}

// Capture makes an image of the instances, which stand on it from then on; see Instance.Capture.
func (gi *GroupInstance) Capture() (*GroupImage, error) {
	if l := gi.group.lasting; l != "" {
		return nil, fmt.Errorf("%w: %s", ErrLasting, l)
	}
	img := &GroupImage{group: gi.group}
	for n, i := range gi.members {
		one, err := i.Capture(gi.group.members[n], 0)
		if err != nil {
			return nil, errors.Join(err, img.Close())
		}
		img.images = append(img.images, one)
	}
	return img, nil
}

// Size returns the length of the image's memories in bytes.
func (img *GroupImage) Size() (n int64) {
	for _, i := range img.images {
		n += i.Size()
	}
	return n
}

// Close releases the image as soon as the instances that stand on it are closed. Calling it again does nothing.
func (img *GroupImage) Close() error {
	var errs []error
	for _, i := range img.images {
		errs = append(errs, i.Close())
	}
	return errors.Join(errs...)
}

// Adopt makes instances that are in the state of the image; see Image.Adopt. Memories are mapped when all members
// exist, because instantiating one can write to another's. After an error the instance must be closed.
func (gi *GroupInstance) Adopt(ctx context.Context, img *GroupImage, s Spec) error {
	if err := gi.build(ctx, &s, func(*Instance, *Module) error { return nil }); err != nil {
		return err
	}
	for n, i := range gi.members {
		if err := i.adopt(img.images[n]); err != nil {
			return &Trap{Kind: KindMemoryLimit, Err: err}
		}
	}
	return nil
}

// Reset puts all instances back into the state of their image; see Instance.Reset.
func (gi *GroupInstance) Reset() error {
	for _, i := range gi.members {
		if err := i.Reset(); err != nil {
			return err
		}
	}
	return nil
}
