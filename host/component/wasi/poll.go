package wasi

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/appserver-go/appserver/host/component/abi"
)

// Pollable is something that can be waited for. One of the fields is set, or none for what is always ready.
type Pollable struct {
	// At is when it is ready.
	At time.Time
	// Done is closed when it is ready.
	Done <-chan struct{}
	// Ready reports whether it is ready. Where there is Fill too, that waits until it is, on the goroutine of the guest,
	// within the context: so things are waited for that only this goroutine may use.
	Ready func() bool
	Fill  func(context.Context)
}

// ready reports whether there is nothing to wait for.
func (p *Pollable) ready(now time.Time) bool {
	switch {
	case p.Ready != nil:
		return p.Ready()
	case p.Done != nil:
		select {
		case <-p.Done:
			return true
		default:
			return false
		}
	}
	return !now.Before(p.At)
}

// maxPoll is how many things can be waited for at once.
const maxPoll = 4096

// wait waits until one of the pollables is ready and returns which are. It panics when the context is done.
func wait(c *abi.Call, ps []*Pollable) (ready []int) {
	flushed := false
	for {
		now := time.Now()
		for i, p := range ps {
			if p.ready(now) {
				ready = append(ready, i)
			}
		}
		if ready != nil {
			return ready
		}
		if !flushed {
			flushed = true
			env(c).Wait()
		}
		waitOnce(c.Context(), ps, now)
	}
}

// waitOnce waits until something may have become ready.
func waitOnce(ctx context.Context, ps []*Pollable, now time.Time) {
	var earliest time.Time
	cases := []reflect.SelectCase{{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(ctx.Done())}}
	for _, p := range ps {
		switch {
		case p.Fill != nil:
			p.Fill(ctx)
			check(ctx)
			return
		case p.Done != nil:
			cases = append(cases, reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(p.Done)})
		case earliest.IsZero() || p.At.Before(earliest):
			earliest = p.At
		}
	}
	if !earliest.IsZero() {
		t := time.NewTimer(earliest.Sub(now))
		defer t.Stop()
		cases = append(cases, reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(t.C)})
	}
	reflect.Select(cases)
	check(ctx)
}

// check ends the guest's call if its context is done.
func check(ctx context.Context) {
	if err := ctx.Err(); err != nil {
		panic(err)
	}
}

// polling are the functions of wasi:io/poll.
var polling = map[string]abi.Func{
	"[method]pollable.ready": func(_ *abi.Call, args []any) any { return args[0].(*Pollable).ready(time.Now()) },
	"[method]pollable.block": func(c *abi.Call, args []any) any {
		wait(c, []*Pollable{args[0].(*Pollable)})
		return nil
	},
	"poll": func(c *abi.Call, args []any) any {
		list := args[0].([]any)
		if len(list) == 0 {
			panic(errors.New("the guest polls an empty list"))
		}
		if len(list) > maxPoll {
			panic(fmt.Errorf("the guest polls %d things, more than %d", len(list), maxPoll))
		}
		ps := make([]*Pollable, len(list))
		for i, p := range list {
			ps[i] = p.(*Pollable)
		}
		var out []any
		for _, i := range wait(c, ps) {
			out = append(out, uint32(i))
		}
		return out
	},
}
