// Package rewrite changes core modules before they are compiled, so that the engine can bound, interrupt and reset what
// they become: it decodes a module, says what there is to know of it, and encodes it again with
//
//   - a maximum for every table, because wazero bounds table.grow by nothing else;
//   - fuel: a counter that is decremented where guest code can go round in circles, in loops and in functions that call
//     others, and a call of the host whenever it is used up;
//   - an export for every mutable global, so that the host can set it back;
//   - the start function as an export, so that the host says when it runs, and no maximum for the memory, so that the
//     host bounds it, and can shrink it, alone.
//
// What the guest computes is not changed, and nothing that is added can be named by guest code: indices are checked
// against the module as it was. The decoder is strict about everything it has to follow, instructions above all, and
// leaves types to wazero. What it keeps of a module is a small multiple of the module's own size.
//
// Names of functions are kept for stack traces. Custom sections that speak of places in the code are dropped, because
// those places move; for debugging information (DWARF) Origins tells where they were. The importing of one function moves the indices of all
// functions that the module defines up by one, which shows in the stack trace of a function without a name.
//
// The package knows nothing of wazero. Only host/engine calls it.
package rewrite
