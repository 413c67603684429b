package httpwasm

import "hash/maphash"

// interner makes strings of bytes in the guest's memory, without allocating for those seen lately: a guest sets the
// same names and mostly the same values in each request. It is a cache of sets in which a new string takes the place
// of the one in its set that was used least lately, so it is bounded whatever the guest does.
type interner struct {
	seed  maphash.Seed
	ready bool
	sets  [64][4]string // the string used last is the first of its set
}

// maxInterned is the length in bytes of the longest string worth keeping.
const maxInterned = 128

func (i *interner) string(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if len(b) > maxInterned {
		return string(b)
	}
	if !i.ready {
		i.seed, i.ready = maphash.MakeSeed(), true
	}
	set := &i.sets[maphash.Bytes(i.seed, b)%uint64(len(i.sets))]
	at := 0
	for at < len(set)-1 && set[at] != string(b) {
		at++
	}
	s := set[at]
	if s != string(b) {
		s = string(b)
	}
	copy(set[1:at+1], set[:at])
	set[0] = s
	return s
}
