package abi

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/appserver-go/appserver/host/engine"
)

// Image is the state of an instance at one moment: that of its core modules, and its handles. It is safe for concurrent
// use.
type Image struct {
	program *Program
	group   *engine.GroupImage
	tables  []table
}

// Size returns the length of the image's memories in bytes.
func (img *Image) Size() int64 { return img.group.Size() }

// Close releases the image as soon as the instances that stand on it are closed. Calling it again does nothing.
func (img *Image) Close() error { return img.group.Close() }

// Capture makes an image of the instance, which stands on it from then on. Errors wrap engine.ErrLasting when the guest
// is the reason. It must not be called during a call.
func (in *Instance) Capture() (*Image, error) {
	img := &Image{program: in.program}
	for n := range in.comps {
		t := in.comps[n].handles
		t.entries = slices.Clone(t.entries)
		for i := range t.entries {
			if err := t.entries[i].keep(); err != nil {
				return nil, err
			}
		}
		img.tables = append(img.tables, t)
	}
	group, err := in.group.Capture()
	if err != nil {
		return nil, err
	}
	img.group = group
	in.image = img
	return img, nil
}

// keep replaces what a handle stands for by its copy.
func (h *handle) keep() error {
	if h.res == nil || !h.res.Host {
		return nil
	}
	if k, ok := h.obj.(Keeper); ok {
		if copied := k.Keep(); copied != nil {
			h.obj = copied
			return nil
		}
	}
	return fmt.Errorf("%w: it holds a %s from its start on", engine.ErrLasting, h.res.Name)
}

// Adopt makes an instance that is in the state of the image. Host becomes its Host.
func (img *Image) Adopt(ctx context.Context, host any) (*Instance, error) {
	in := img.program.make(ctx, host)
	if err := in.group.Adopt(in.ctx, img.group, engine.Spec{}); err != nil {
		return nil, errors.Join(err, in.Close())
	}
	in.image = img
	in.restore()
	return in, nil
}

// Reset puts the instance back into the state of its image; see engine.Instance.Reset.
func (in *Instance) Reset() error {
	in.dropAll()
	if err := in.group.Reset(); err != nil {
		return err
	}
	in.restore()
	in.failed = false
	return nil
}

// restore sets the handles and what else there is beside the core modules.
func (in *Instance) restore() {
	for n := range in.comps {
		c, kept := &in.comps[n], &in.image.tables[n]
		c.mayLeave, c.entered = true, false
		entries := append(c.handles.entries[:0], kept.entries...)
		c.handles = *kept
		c.handles.entries = entries
		for i := range entries {
			_ = entries[i].keep() // it can, as it is in the image
		}
	}
	in.lends, in.args = in.lends[:0], in.args[:0]
}
