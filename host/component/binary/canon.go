package binary

import "fmt"

// Canon is a canonical definition: a function lifted from, or lowered to, a core function, or a built-in.
type Canon struct {
	Op   Op
	Func uint32 // the function that is lifted or lowered
	Type uint32 // of a lifted function, or the resource or other type of a built-in
	Opts CanonOpts
}

// Encoding is how strings are encoded in a core module's memory.
type Encoding byte

// The encodings.
const (
	UTF8 Encoding = iota
	UTF16
	Latin1UTF16
)

// CanonOpts are the options of a canonical definition; pointers are nil for those that are not given.
type CanonOpts struct {
	Encoding    Encoding
	Memory      *uint32
	Realloc     *uint32
	PostReturn  *uint32
	Callback    *uint32
	CoreType    *uint32
	Async, GC   bool
	hasEncoding bool
}

// Op is a canonical built-in, as its byte in the format.
type Op byte

// The built-ins of synchronous components. All others need WASI 0.3.
const (
	OpLift         Op = 0x00
	OpLower        Op = 0x01
	OpResourceNew  Op = 0x02
	OpResourceDrop Op = 0x03
	OpResourceRep  Op = 0x04
)

// operands say what follows a built-in: t a type, a one byte (asynchronous or cancellable), o options, m an index, r the
// results of task.return, x a value type and an index.
var operands = map[Op]struct{ name, operands string }{
	OpResourceNew: {"resource.new", "t"}, OpResourceDrop: {"resource.drop", "t"}, OpResourceRep: {"resource.rep", "t"},
	0x05: {"task.cancel", ""}, 0x06: {"subtask.cancel", "a"}, 0x07: {"resource.drop async", "t"}, 0x08: {"backpressure.set", ""},
	0x09: {"task.return", "ro"}, 0x0a: {"context.get", "x"}, 0x0b: {"context.set", "x"}, 0x0c: {"thread.yield", "a"},
	0x0d: {"subtask.drop", ""}, 0x0e: {"stream.new", "t"}, 0x0f: {"stream.read", "to"}, 0x10: {"stream.write", "to"},
	0x11: {"stream.cancel-read", "ta"}, 0x12: {"stream.cancel-write", "ta"}, 0x13: {"stream.drop-readable", "t"},
	0x14: {"stream.drop-writable", "t"}, 0x15: {"future.new", "t"}, 0x16: {"future.read", "to"}, 0x17: {"future.write", "to"},
	0x18: {"future.cancel-read", "ta"}, 0x19: {"future.cancel-write", "ta"}, 0x1a: {"future.drop-readable", "t"},
	0x1b: {"future.drop-writable", "t"}, 0x1c: {"error-context.new", "o"}, 0x1d: {"error-context.debug-message", "o"},
	0x1e: {"error-context.drop", ""}, 0x1f: {"waitable-set.new", ""}, 0x20: {"waitable-set.wait", "am"},
	0x21: {"waitable-set.poll", "am"}, 0x22: {"waitable-set.drop", ""}, 0x23: {"waitable.join", ""},
	0x24: {"backpressure.inc", ""}, 0x25: {"backpressure.dec", ""}, 0x26: {"thread.index", ""},
	0x27: {"thread.new-indirect", "tm"}, 0x28: {"thread.resume-later", ""}, 0x29: {"thread.suspend", "a"},
	0x2a: {"thread.yield-to", "a"}, 0x2b: {"thread.switch-to", "a"}, 0x2c: {"thread.suspend-to", "a"}, 0x2d: {"thread.suspend-to-suspended", "a"},
	0x40: {"thread.spawn-ref", "t"}, 0x41: {"thread.spawn-indirect", "tm"}, 0x42: {"thread.available-parallelism", ""},
}

// String names the built-in as the component model does.
func (o Op) String() string {
	switch o {
	case OpLift:
		return "canon lift"
	case OpLower:
		return "canon lower"
	}
	return operands[o].name
}

// Async reports whether the built-in belongs to asynchronous components.
func (o Op) Async() bool { return o > OpResourceRep }

func (r *reader) canon() Canon {
	c := Canon{Op: Op(r.byte())}
	switch c.Op {
	case OpLift:
		r.zero("canon lift")
		c.Func = r.u32()
		c.Opts = r.canonOpts()
		c.Type = r.u32()
		return c
	case OpLower:
		r.zero("canon lower")
		c.Func = r.u32()
		c.Opts = r.canonOpts()
		return c
	}
	op, ok := operands[c.Op]
	if !ok {
		r.fail(fmt.Errorf("the canonical built-in %#x is unknown", byte(c.Op)))
		return c
	}
	for _, operand := range op.operands {
		switch operand {
		case 't':
			c.Type = r.u32()
		case 'm':
			r.u32()
		case 'a':
			r.flag()
		case 'o':
			c.Opts = r.canonOpts()
		case 'r':
			r.result()
		case 'x':
			r.byte()
			r.u32()
		}
	}
	return c
}

// canonOpts reads options. None may come twice.
func (r *reader) canonOpts() (o CanonOpts) {
	r.vector(func() {
		twice := false
		index := func(p **uint32) {
			n := r.u32()
			twice = *p != nil
			*p = &n
		}
		flag := func(p *bool) { twice, *p = *p, true }
		switch opt := r.byte(); opt {
		case 0, 1, 2:
			flag(&o.hasEncoding)
			o.Encoding = Encoding(opt)
		case 3:
			index(&o.Memory)
		case 4:
			index(&o.Realloc)
		case 5:
			index(&o.PostReturn)
		case 6:
			flag(&o.Async)
		case 7:
			index(&o.Callback)
		case 8:
			index(&o.CoreType)
		case 9:
			flag(&o.GC)
		default:
			r.fail(fmt.Errorf("the canonical option %#x is unknown", opt))
		}
		if twice {
			r.fail(fmt.Errorf("a canonical option is given twice"))
		}
	})
	return o
}
