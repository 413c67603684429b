package rewrite

// What running a function may take, in steps, without paying on entry. The most that guest code can do between two calls
// of yield is that many times the fuel: a few milliseconds, and only in a module made for it.
const (
	maxFree  = 100
	loopFree = 16 // what turns of loops that are never paid for count
)

// price finds the functions that must pay on entry, so that guest code pays within a bounded number of steps wherever it
// goes. Loops and calls by reference pay by themselves. What is left are calls by name: a function pays if it can come
// back to itself through them, or if what it may do before anyone else pays is too much; everything else is part of
// its callers.
func (m *Module) price() {
	const active = ^uint32(0) // on the way
	cost := make([]uint32, len(m.funcs))
	type visit struct{ function, next uint32 }
	var way []visit
	for i := range m.funcs {
		if cost[i] != 0 {
			continue
		}
		cost[i] = active
		way = append(way, visit{function: uint32(i)})
		for len(way) > 0 {
			v := &way[len(way)-1]
			f := &m.funcs[v.function]
			if v.next < f.calls.end-f.calls.start {
				callee := m.calls[f.calls.start+v.next]
				v.next++
				if cost[callee] == active {
					m.funcs[callee].pays = true
				} else if cost[callee] == 0 {
					cost[callee] = active
					way = append(way, visit{function: callee})
				}
				continue
			}
			cost[v.function] = m.settle(f, cost)
			way = way[:len(way)-1]
		}
	}
}

// settle returns what a function costs its callers, whose callees are settled or pay.
func (m *Module) settle(f *funcInfo, cost []uint32) uint32 {
	total := uint32(1)
	if f.loops {
		total += loopFree
	}
	for _, callee := range m.calls[f.calls.start:f.calls.end] {
		if m.funcs[callee].pays {
			total++
		} else {
			total += cost[callee]
		}
		if total > maxFree {
			f.pays = true
		}
	}
	if f.pays {
		return 1
	}
	return total
}
