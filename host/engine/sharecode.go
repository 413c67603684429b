package engine

import (
	"bytes"
	"errors"
	"fmt"
	"unsafe"

	"github.com/tetratelabs/wazero"
	"golang.org/x/sys/unix"
)

// Wazero copies the code of each process into memory of its own. But it refers to nothing by its address, save within
// itself, so the memory of all workers can be the same: a mapping of the code is laid over it. No guest runs meanwhile.

// shareCode shares the code of a module that was just compiled. An error means that the code is lost.
func (e *Engine) shareCode(m *Module, compiled wazero.CompiledModule) error {
	if !e.opts.ShareCode || m.size < minShared {
		return nil
	}
	c, ok := findCode(compiled)
	if !ok || c.start%osPage != 0 || c.size < minShared {
		e.notShared(fmt.Errorf("there are %d bytes of it at %#x", c.size, c.start))
		return nil
	}
	code := unsafe.Slice((*byte)(pointer(c.start)), padded(int64(c.size)))
	if f := m.opts.Siblings.inherit(sharedCode); f != nil {
		return withFD(f, func(fd int) error { return e.cover(m, code, fd) })
	}
	if m.opts.Siblings.Offer == nil {
		return nil
	}
	fd, err := seal(&sealed{name: sharedCode, key: m.key}, code)
	if err != nil {
		e.notShared(err)
		return nil
	}
	m.offer(sharedCode, fd)
	return errors.Join(e.cover(m, code, fd), unix.Close(fd))
}

// notShared logs that a module's code takes memory of this worker's own.
func (e *Engine) notShared(err error) {
	e.opts.Log.Warn("Compiled code is not shared with other workers", "reason", err)
}

// pointer makes a pointer of an address that Go's heap has nothing to do with.
func pointer(address uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&address)) }

// cover lays a mapping of the file over the code, if it is the same code. An error means that the code is lost.
func (e *Engine) cover(m *Module, code []byte, fd int) error {
	if err := m.sameCode(code, fd); err != nil {
		e.notShared(err)
		return nil
	}
	_, err := unix.MmapPtr(fd, 0, unsafe.Pointer(unsafe.SliceData(code)), uintptr(len(code)), unix.PROT_READ|unix.PROT_EXEC,
		unix.MAP_PRIVATE|unix.MAP_FIXED)
	if err != nil {
		return fmt.Errorf("map compiled code: %w", err)
	}
	return nil
}

// sameCode maps the file elsewhere, which shows whether that is allowed, and compares it with the code.
func (m *Module) sameCode(code []byte, fd int) error {
	info, err := unseal(fd, sharedCode, m.key)
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
