package engine

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Wazero copies the code of each process into memory of its own. But it refers to nothing by its address, save within
// itself, so the memory of all workers can be the same: a mapping of the code is laid over it. Where the code is, nobody
// tells; it is what can be executed after compiling and could not be before.

// codeShare is the sharing of the code of one module.
type codeShare struct {
	engine *Engine
	module *Module
	before []addressRange
}

// addressRange is memory from one address to before another.
type addressRange struct{ from, to uintptr }

// beginShare notes what can be executed before a module is compiled. It returns nil when no code is to be shared.
func (e *Engine) beginShare(m *Module) *codeShare {
	if !e.opts.ShareCode || m.size < minShared {
		return nil
	}
	before, err := executable()
	if err != nil {
		e.notShared(err)
		return nil
	}
	return &codeShare{engine: e, module: m, before: before}
}

// notShared logs that a module's code takes memory of this worker's own.
func (e *Engine) notShared(err error) {
	e.opts.Log.Warn("Compiled code is not shared with other workers", "reason", err)
}

// end shares the code of the module that was compiled since. An error means that it is lost.
func (s *codeShare) end() error {
	if s == nil {
		return nil
	}
	code, err := s.find()
	if err != nil {
		s.engine.notShared(err)
		return nil
	}
	if f := s.engine.opts.Siblings.inherit(sharedCode); f != nil {
		return withFD(f, func(fd int) error { return s.cover(code, fd) })
	}
	if s.engine.opts.Siblings.Offer == nil {
		return nil
	}
	fd, err := seal(&sealed{name: sharedCode, key: s.module.key}, code)
	if err != nil {
		s.engine.notShared(err)
		return nil
	}
	s.engine.offer(sharedCode, fd)
	return errors.Join(s.cover(code, fd), unix.Close(fd))
}

// find returns the code that came since, of which there must be enough in one piece.
func (s *codeShare) find() ([]byte, error) {
	after, err := executable()
	if err != nil {
		return nil, err
	}
	var largest addressRange
	for _, r := range subtract(after, s.before) {
		if r.to-r.from > largest.to-largest.from {
			largest = r
		}
	}
	if largest.to-largest.from < minShared {
		return nil, fmt.Errorf("there are only %d bytes of it", largest.to-largest.from)
	}
	return unsafe.Slice((*byte)(pointer(largest.from)), largest.to-largest.from), nil
}

// pointer makes a pointer of an address that Go's heap has nothing to do with.
func pointer(address uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&address)) }

// cover lays a mapping of the file over the code, if it is the same code. An error means that the code is lost.
func (s *codeShare) cover(code []byte, fd int) error {
	if err := s.compare(code, fd); err != nil {
		s.engine.notShared(err)
		return nil
	}
	_, err := unix.MmapPtr(fd, 0, unsafe.Pointer(unsafe.SliceData(code)), uintptr(len(code)), unix.PROT_READ|unix.PROT_EXEC,
		unix.MAP_PRIVATE|unix.MAP_FIXED)
	if err != nil {
		return fmt.Errorf("map compiled code: %w", err)
	}
	return nil
}

// compare maps the file elsewhere, which shows whether that is allowed, and compares it with the code.
func (s *codeShare) compare(code []byte, fd int) error {
	info, err := unseal(fd, sharedCode, s.module.key)
	if err != nil {
		return err
	}
	if info.size != int64(len(code)) {
		return fmt.Errorf("another worker has %d bytes of it, this one has %d", info.size, len(code))
	}
	view, err := unix.Mmap(fd, 0, len(code), unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE)
	if err != nil {
		return fmt.Errorf("map compiled code: %w", err)
	}
	same := bytes.Equal(view, code)
	if err := unix.Munmap(view); err != nil {
		return fmt.Errorf("unmap compiled code: %w", err)
	}
	if !same {
		return errors.New("another worker's differs")
	}
	return nil
}

// executable returns the memory that can be executed and belongs to no file, in ascending order.
func executable() ([]addressRange, error) {
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var ranges []addressRange
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text()) // addresses, permissions, offset, device, inode, and a file's name
		if len(fields) != 5 || !strings.HasPrefix(fields[1], "r-xp") || fields[4] != "0" {
			continue
		}
		var r addressRange
		if _, err := fmt.Sscanf(fields[0], "%x-%x", &r.from, &r.to); err != nil {
			return nil, fmt.Errorf("read the map of memory: %w", err)
		}
		ranges = append(ranges, r)
	}
	slices.SortFunc(ranges, func(a, b addressRange) int { return cmp.Compare(a.from, b.from) })
	return ranges, lines.Err()
}

// subtract returns what is in the ranges of a and in none of b. Both are in ascending order.
func subtract(a, b []addressRange) []addressRange {
	var rest []addressRange
	for _, r := range a {
		for _, cut := range b {
			if cut.to <= r.from || cut.from >= r.to {
				continue
			}
			if cut.from > r.from {
				rest = append(rest, addressRange{r.from, cut.from})
			}
			r.from = min(cut.to, r.to)
		}
		if r.from < r.to {
			rest = append(rest, r)
		}
	}
	return rest
}
