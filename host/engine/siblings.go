package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/tetratelabs/wazero"
	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/host/engine/rewrite"
)

// minShared is how large a module or its code has to be for sharing it to be worth while, in bytes.
const minShared = 64 << 10

// inheritModule compiles what another worker has rewritten a module to, if it has. Meanwhile the module is rewritten here
// too, on another processor, for what has to be known of it, and to prove that the other has done nothing else: wazero
// takes longer. It returns nil when there is nothing to inherit that is of use.
func (e *Engine) inheritModule(ctx context.Context, m *Module, wasm []byte) (*rewrite.Module, error) {
	if len(wasm) < minShared {
		return nil, nil
	}
	f := m.opts.Siblings.inherit(sharedModule)
	if f == nil {
		return nil, nil
	}
	var code []byte
	err := withFD(f, func(fd int) (err error) {
		code, err = e.mapModule(fd, m)
		return err
	})
	if err != nil {
		e.notInherited(sharedModule, err)
		return nil, nil
	}
	var own *rewritten
	var ownErr error
	var rewriting sync.WaitGroup
	rewriting.Go(func() { own, ownErr = m.rewrite(wasm) })
	compiled, err := e.compile(ctx, m, code)
	rewriting.Wait()
	switch {
	case ownErr != nil:
		return nil, errors.Join(ownErr, closeCompiled(ctx, compiled))
	case bytes.Equal(own.code, code) && err == nil:
		m.take(own, compiled)
		return own.module, nil
	case err == nil:
		err = errors.New("it is not what the module is rewritten to")
	}
	e.notInherited(sharedModule, err)
	if err := closeCompiled(ctx, compiled); err != nil {
		return nil, err
	}
	compiled, err = e.compile(ctx, m, own.code)
	if err != nil {
		return nil, err
	}
	m.take(own, compiled)
	return own.module, nil
}

func closeCompiled(ctx context.Context, c wazero.CompiledModule) error {
	if c == nil {
		return nil
	}
	return c.Close(ctx)
}

// notInherited logs that something is made here that another worker had made already.
func (e *Engine) notInherited(name string, err error) {
	e.opts.Log.Warn("What another worker has made is not used", "what", name, "reason", err)
}

// mapModule maps a rewritten module. Wazero refers to it for as long as the engine lives.
func (e *Engine) mapModule(fd int, m *Module) ([]byte, error) {
	s, err := unseal(fd, sharedModule, m.key)
	if err != nil {
		return nil, err
	}
	if s.size == 0 {
		return nil, errors.New("the module is empty")
	}
	b, err := unix.Mmap(fd, 0, int(s.size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map a module: %w", err)
	}
	e.mapped = append(e.mapped, b)
	return b, nil
}

// offerModule offers a rewritten module to other workers and returns it, in the memory that they share if it can be.
func (e *Engine) offerModule(m *Module, code []byte) []byte {
	if m.opts.Siblings.Offer == nil || m.size < minShared {
		return code
	}
	fd, err := seal(&sealed{name: sharedModule, key: m.key}, code)
	if err == nil {
		var view []byte
		if view, err = e.mapModule(fd, m); err == nil {
			m.offer(sharedModule, fd)
			code = view
		}
		err = errors.Join(err, unix.Close(fd))
	}
	if err != nil {
		e.opts.Log.Debug("Not offered to other workers", "name", sharedModule, "error", err)
	}
	return code
}
