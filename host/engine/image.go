package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Image is the state of an instance at one moment, usually after its start: memory and globals. The memory is in a sealed
// file that exists in memory only. Every instance that stands on the image maps it privately, so they share what they
// do not change. It is safe for concurrent use.
type Image struct {
	module  *Module
	fd      int
	size    int64
	bytes   []byte // the file, for reading
	globals []uint64
	note    uint64
	refs    atomic.Int64
	closed  atomic.Bool
}

// Size returns the length of the image's memory in bytes.
func (img *Image) Size() int64 { return img.size }

// Close releases the image as soon as the instances that stand on it are closed. Calling it again does nothing.
func (img *Image) Close() error {
	if img.closed.Swap(true) {
		return nil
	}
	return img.release()
}

func (img *Image) release() error {
	if img.refs.Add(-1) > 0 || img.bytes == nil {
		return nil
	}
	err := errors.Join(unix.Munmap(img.bytes), unix.Close(img.fd))
	img.bytes = nil
	return err
}

// ErrLasting is why an instance cannot be captured: it has state that a reset would not undo.
var ErrLasting = errors.New("the guest has state that cannot be reset")

// Lasting returns why instances of the module cannot be captured, in words that follow "the guest cannot be reset:", or
// "" if they can.
func (m *Module) Lasting() string { return m.lasting }

// Capture makes an image of the instance, which stands on it from then on. The note is the caller's to keep with it. It
// must not be called during a Call. Errors wrap ErrLasting when the guest is the reason.
func (i *Instance) Capture(m *Module, note uint64) (*Image, error) {
	switch {
	case m.lasting != "":
		return nil, fmt.Errorf("%w: %s", ErrLasting, m.lasting)
	case i.Broken() || i.depth > 0:
		return nil, errBroken
	case i.openFiles():
		return nil, fmt.Errorf("%w: it keeps files open", ErrLasting)
	case i.lost:
		return nil, fmt.Errorf("%w: it closed a standard stream or a directory", ErrLasting)
	}
	img := &Image{module: m, fd: -1, note: note}
	for _, g := range i.globals {
		img.globals = append(img.globals, g.Get())
	}
	if i.memory.size > 0 {
		if err := img.fill(i.memory.room[:i.memory.size]); err != nil {
			return nil, err
		}
		if err := i.memory.adopt(img); err != nil {
			return nil, errors.Join(err, img.release())
		}
	}
	img.refs.Store(2) // the caller's and the instance's
	i.image = img
	return img, nil
}

// fill puts memory and globals into a sealed file, without the pages that are zero.
func (img *Image) fill(memory []byte) error {
	s := &sealed{name: sharedImage, note: img.note, words: img.globals}
	if img.module != nil {
		s.key = img.module.key
	}
	fd, err := seal(s, memory)
	if err != nil {
		return fmt.Errorf("make a memory image: %w", err)
	}
	return img.view(fd, s.size)
}

// view maps the file for reading. The descriptor is the image's from then on.
func (img *Image) view(fd int, size int64) error {
	view, err := unix.Mmap(fd, 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return errors.Join(fmt.Errorf("map a memory image: %w", err), unix.Close(fd))
	}
	img.fd, img.size, img.bytes = fd, size, view
	return nil
}

// Note returns what Capture was given.
func (img *Image) Note() uint64 { return img.note }

// Offer hands the image over to other workers.
func (img *Image) Offer() {
	if img.fd >= 0 {
		img.module.offer(sharedImage, img.fd)
	}
}

// InheritImage returns the image that another worker has made of this module, or nil if there is none. It can be adopted
// in place of starting an instance. It is an error for it not to fit the module and its settings.
func (m *Module) InheritImage() (img *Image, err error) {
	f := m.opts.Siblings.inherit(sharedImage)
	if f == nil || m.lasting != "" || m.memory == nil {
		return nil, nil
	}
	err = withFD(f, func(fd int) error {
		s, err := unseal(fd, sharedImage, m.key)
		if err != nil {
			return err
		}
		least, most := int64(m.memory.Min)*pageSize, int64(m.memory.Max)*pageSize
		if s.size%pageSize != 0 || s.size == 0 || s.size < least || s.size > most || len(s.words) != len(m.facts.Globals) {
			return fmt.Errorf("the image has %d bytes and %d globals, which do not fit the module", s.size, len(s.words))
		}
		dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return err
		}
		img = &Image{module: m, fd: -1, globals: s.words, note: s.note}
		img.refs.Store(1) // the caller's
		return img.view(dup, s.size)
	})
	if err != nil {
		return nil, fmt.Errorf("adopt the memory image of another worker: %w", err)
	}
	return img, nil
}

// Adopt makes an instance that is in the state of the image, in place of running its start functions. The spec should
// be that of the instance the image was captured from. Errors are those of Instantiate.
func (img *Image) Adopt(ctx context.Context, s Spec) (*Instance, error) {
	i, err := img.module.make(ctx, &s)
	if err != nil {
		return nil, err
	}
	if err := i.adopt(img); err != nil {
		return nil, errors.Join(&Trap{Kind: KindMemoryLimit, Err: err}, i.Close())
	}
	return i, nil
}

func (i *Instance) adopt(img *Image) error {
	if more := img.size - i.memory.size; more > 0 {
		if _, ok := i.mod.Memory().Grow(uint32(more / pageSize)); !ok {
			return fmt.Errorf("no room for a memory image of %d bytes", img.size)
		}
	}
	if img.size > 0 {
		if err := i.memory.adopt(img); err != nil {
			return err
		}
	}
	img.refs.Add(1)
	i.image = img
	i.restoreGlobals()
	return nil
}

// openFiles reports whether the guest has files open.
func (i *Instance) openFiles() bool {
	return slices.ContainsFunc(i.dirs, (*rootFS).inUse)
}

func (i *Instance) restoreGlobals() {
	for n, g := range i.globals {
		g.Set(i.image.globals[n])
	}
	if i.fuel != nil {
		i.refuel()
	}
}

// adopt maps the image over the beginning of the memory, which is at least as large.
func (m *memory) adopt(img *Image) error {
	at := unsafe.Pointer(unsafe.SliceData(m.room))
	_, err := unix.MmapPtr(img.fd, 0, at, uintptr(img.size), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_FIXED|unix.MAP_NORESERVE)
	if err != nil {
		return fmt.Errorf("map a memory image: %w", err)
	}
	_ = unix.Madvise(m.room[:img.size], unix.MADV_NOHUGEPAGE) // see newMemory
	m.high = m.size
	return nil
}
