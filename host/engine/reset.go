package engine

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero/api"
	"golang.org/x/sys/unix"
)

// Reasons for which an instance cannot be reset.
var (
	errNoImage   = errors.New("the instance was not captured and stands on no image")
	errLost      = errors.New("the instance was closed, ran out of stack or closed a standard stream")
	errOpenFiles = errors.New("the guest left files open")
	errShrink    = errors.New("the guest's memory grew to the 4 GiB that cannot be shrunk")
)

// Reset puts the instance back into the state of its image: memory, its size, and globals are the same to the byte,
// whatever the guest did and however its last call ended. It must not be called during a Call. After an error the
// instance must be closed; guests can cause that by leaving files open, closing what they did
// not open, or running out of stack.
func (i *Instance) Reset() error {
	switch {
	case i.image == nil:
		return errNoImage
	case i.closed || i.lost || i.depth > 0 || i.run != nil && i.run.snapshot == nil:
		return errLost
	case i.openFiles():
		return errOpenFiles
	}
	if i.memory.room != nil {
		if err := i.memory.reset(i.image, i.mod.Memory(), &i.engine.dirty); err != nil {
			i.lost = true
			return err
		}
	}
	i.restoreGlobals()
	i.broken = false
	i.engine.resets.Add(1)
	if i.engine.opts.VerifyReset {
		return i.verify()
	}
	return nil
}

// reset undoes what was written to the memory.
func (m *memory) reset(img *Image, mem api.Memory, dirty *dirtyPages) error {
	if m.size > img.size {
		m.shrinkTo = img.room(m)
		if _, ok := mem.Grow(1); !ok {
			m.shrinkTo = nil
			return errShrink
		}
	}
	if img.size > 0 {
		if err := dirty.restore(m, img); err != nil {
			return err
		}
	}
	if m.high > img.size { // beyond the image memory is zero, as the kernel hands it out
		if err := unix.Madvise(m.room[img.size:m.high], unix.MADV_DONTNEED); err != nil {
			return fmt.Errorf("drop a guest's memory: %w", err)
		}
	}
	m.high = m.size
	return nil
}

// room returns the part of a memory that the image takes; it is not nil even when it is empty.
func (img *Image) room(m *memory) []byte { return m.room[:img.size:img.size] }

// verify compares the instance with its image.
func (i *Instance) verify() error {
	img, m := i.image, i.memory
	if m.size != img.size || m.room != nil && int64(i.mod.Memory().Size()) != img.size {
		return fmt.Errorf("the memory has %d bytes after a reset to %d", m.size, img.size)
	}
	if img.size > 0 && !bytes.Equal(m.room[:img.size], img.bytes) {
		for at := range img.bytes {
			if m.room[at] != img.bytes[at] {
				return fmt.Errorf("the byte at %#x differs after a reset", at)
			}
		}
	}
	for n, g := range i.globals {
		if g.Get() != img.globals[n] {
			return fmt.Errorf("the global %d differs after a reset", n)
		}
	}
	return nil
}
