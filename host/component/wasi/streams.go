package wasi

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/appserver-go/appserver/host/component/abi"
)

// Error is a wasi:io/error.error.
type Error struct{ Err error }

var ioErrors = map[string]abi.Func{
	"[method]error.to-debug-string": func(_ *abi.Call, args []any) any { return args[0].(*Error).Err.Error() },
}

// Bounds of what one call moves, in bytes.
const (
	maxRead       = 64 << 10
	permit        = 64 << 10
	blockingWrite = 4096 // the most that blocking-write-and-flush takes
)

// InputStream is a wasi:io/streams.input-stream over a reader. A read that finds nothing waits, on the goroutine of the
// guest; where the reader is not always ready, the stream reads ahead when the guest polls it.
type InputStream struct {
	// Reader is what it reads. Its errors but io.EOF are passed to the guest, save for those that a Fatal error has.
	Reader io.Reader
	// Waits says that a read can wait, for which others should not have to.
	Waits bool
	// Fatal, if set, says of an error that it must end the guest's call instead.
	Fatal func(error) bool
	// Release is called when the guest drops the stream.
	Release func()

	ahead []byte
	err   error
}

// Drop implements abi.Dropper.
func (s *InputStream) Drop() {
	if s.Release != nil {
		s.Release()
	}
}

// read returns up to n bytes.
func (s *InputStream) read(c *abi.Call, n uint64) ([]byte, error) {
	n = min(n, maxRead)
	if n == 0 {
		return []byte{}, s.err
	}
	if len(s.ahead) == 0 && s.err == nil {
		if s.Waits {
			env(c).Wait()
		}
		s.fill(c.Context(), int(n))
	}
	if len(s.ahead) == 0 {
		return nil, s.err
	}
	p := s.ahead[:min(n, uint64(len(s.ahead)))]
	s.ahead = s.ahead[len(p):]
	return p, nil
}

// fill reads once.
func (s *InputStream) fill(ctx context.Context, n int) {
	check(ctx)
	buf := make([]byte, n)
	for range 100 {
		k, err := s.Reader.Read(buf)
		if err != nil && err != io.EOF && s.Fatal != nil && s.Fatal(err) {
			panic(err)
		}
		s.ahead, s.err = buf[:k], err
		if k > 0 || err != nil {
			return
		}
	}
	s.err = io.ErrNoProgress
}

// pollable returns what is ready when a read would not wait.
func (s *InputStream) pollable() *Pollable {
	if !s.Waits {
		return &Pollable{}
	}
	return &Pollable{
		Ready: func() bool { return len(s.ahead) > 0 || s.err != nil },
		Fill:  func(ctx context.Context) { s.fill(ctx, 16<<10) },
	}
}

// Sink is what an OutputStream writes to.
type Sink interface {
	// Permit returns how many bytes Write takes now.
	Permit(c *abi.Call) (uint64, error)
	// Write takes all bytes.
	Write(c *abi.Call, p []byte) error
	// Flush begins to pass on what was written.
	Flush(c *abi.Call) error
}

// ErrClosed is what a Sink returns that takes no more.
var ErrClosed = errors.New("the stream is closed")

// OutputStream is a wasi:io/streams.output-stream over a sink that is always ready.
type OutputStream struct {
	Sink Sink
	// Release is called when the guest drops the stream.
	Release func()

	allowed uint64 // what check-write promised
}

// Drop implements abi.Dropper.
func (s *OutputStream) Drop() {
	if s.Release != nil {
		s.Release()
	}
}

// failed makes a stream-error of an error.
func failed(err error) any {
	if err == io.EOF || errors.Is(err, ErrClosed) {
		return abi.Err(abi.Enum(1))
	}
	return abi.Err(abi.Variant{Case: 0, Value: &Error{err}})
}

func outcome(err error) any {
	if err != nil {
		return failed(err)
	}
	return abi.OK(nil)
}

// write is the function write, which takes no more than check-write promised.
func (s *OutputStream) write(c *abi.Call, p []byte) error {
	if uint64(len(p)) > s.allowed {
		panic(fmt.Errorf("the guest wrote %d bytes when check-write permitted %d", len(p), s.allowed))
	}
	s.allowed -= uint64(len(p))
	return s.Sink.Write(c, p)
}

// writeAndFlush is the function blocking-write-and-flush.
func (s *OutputStream) writeAndFlush(c *abi.Call, p []byte) error {
	if len(p) > blockingWrite {
		panic(fmt.Errorf("the guest called blocking-write-and-flush with %d bytes, more than %d", len(p), blockingWrite))
	}
	if err := s.Sink.Write(c, p); err != nil {
		return err
	}
	return s.Sink.Flush(c)
}

// splice moves up to n bytes.
func (s *OutputStream) splice(c *abi.Call, from *InputStream, n uint64) (int, error) {
	p, err := from.read(c, min(n, permit))
	if err != nil {
		return 0, err
	}
	return len(p), s.Sink.Write(c, p)
}

// check is the function check-write.
func (s *OutputStream) check(c *abi.Call) any {
	n, err := s.Sink.Permit(c)
	if err != nil {
		return failed(err)
	}
	s.allowed = n
	return abi.OK(n)
}

func read(c *abi.Call, args []any) any {
	p, err := args[0].(*InputStream).read(c, args[1].(uint64))
	if err != nil {
		return failed(err)
	}
	return abi.OK(p)
}

func skip(c *abi.Call, args []any) any {
	p, err := args[0].(*InputStream).read(c, args[1].(uint64))
	if err != nil {
		return failed(err)
	}
	return abi.OK(uint64(len(p)))
}

func splice(c *abi.Call, args []any) any {
	n, err := args[0].(*OutputStream).splice(c, args[1].(*InputStream), args[2].(uint64))
	if err != nil {
		return failed(err)
	}
	return abi.OK(uint64(n))
}

func flush(c *abi.Call, args []any) any { return outcome(args[0].(*OutputStream).Sink.Flush(c)) }

// zeroes returns n zero bytes for a function that may be asked for at most as many.
func zeroes(n any, most uint64) []byte {
	if n.(uint64) > most {
		panic(fmt.Errorf("the guest writes %d zeroes, more than %d", n, most))
	}
	return make([]byte, n.(uint64))
}

var streams = map[string]abi.Func{
	"[method]input-stream.read":          read,
	"[method]input-stream.blocking-read": read,
	"[method]input-stream.skip":          skip,
	"[method]input-stream.blocking-skip": skip,
	"[method]input-stream.subscribe":     func(_ *abi.Call, args []any) any { return args[0].(*InputStream).pollable() },
	"[method]output-stream.check-write":  func(c *abi.Call, args []any) any { return args[0].(*OutputStream).check(c) },
	"[method]output-stream.write": func(c *abi.Call, args []any) any {
		return outcome(args[0].(*OutputStream).write(c, args[1].([]byte)))
	},
	"[method]output-stream.blocking-write-and-flush": func(c *abi.Call, args []any) any {
		return outcome(args[0].(*OutputStream).writeAndFlush(c, args[1].([]byte)))
	},
	"[method]output-stream.flush":          flush,
	"[method]output-stream.blocking-flush": flush,
	"[method]output-stream.subscribe":      func(*abi.Call, []any) any { return &Pollable{} },
	"[method]output-stream.write-zeroes": func(c *abi.Call, args []any) any {
		s := args[0].(*OutputStream)
		return outcome(s.write(c, zeroes(args[1], s.allowed)))
	},
	"[method]output-stream.blocking-write-zeroes-and-flush": func(c *abi.Call, args []any) any {
		return outcome(args[0].(*OutputStream).writeAndFlush(c, zeroes(args[1], blockingWrite)))
	},
	"[method]output-stream.splice":          splice,
	"[method]output-stream.blocking-splice": splice,
}
