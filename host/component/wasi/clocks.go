package wasi

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/appserver-go/appserver/host/component/abi"
)

// datetime makes a wall-clock.datetime.
func datetime(t time.Time) any { return []any{uint64(max(0, t.Unix())), uint32(t.Nanosecond())} }

// clocks are the functions of wasi:clocks.
func (h *Host) clocks() map[string]abi.Func {
	at := func(ns uint64) any {
		return &Pollable{At: h.start.Add(time.Duration(min(ns, math.MaxInt64)))}
	}
	now := func() uint64 { return uint64(time.Since(h.start)) }
	return map[string]abi.Func{
		"monotonic-clock#now":               func(*abi.Call, []any) any { return now() },
		"monotonic-clock#resolution":        func(*abi.Call, []any) any { return uint64(1) },
		"monotonic-clock#subscribe-instant": func(_ *abi.Call, args []any) any { return at(args[0].(uint64)) },
		"monotonic-clock#subscribe-duration": func(_ *abi.Call, args []any) any {
			t := now()
			return at(t + min(args[0].(uint64), math.MaxInt64-t))
		},
		"wall-clock#now":        func(*abi.Call, []any) any { return datetime(time.Now()) },
		"wall-clock#resolution": func(*abi.Call, []any) any { return []any{uint64(0), uint32(1)} },
	}
}

// maxRandom is how many random bytes one call gives.
const maxRandom = 16 << 20

func randomBytes(_ *abi.Call, args []any) any {
	n := args[0].(uint64)
	if n > maxRandom {
		panic(fmt.Errorf("the guest asks for %d random bytes, more than %d", n, maxRandom))
	}
	p := make([]byte, n)
	_, _ = rand.Read(p) // it ends the process rather than failing
	return p
}

func random64() uint64 {
	var p [8]byte
	_, _ = rand.Read(p[:])
	return binary.LittleEndian.Uint64(p[:])
}

func randomU64(*abi.Call, []any) any { return random64() }

// random are the functions of wasi:random. What may be insecure is not.
var random = map[string]abi.Func{
	"random#get-random-bytes":            randomBytes,
	"random#get-random-u64":              randomU64,
	"insecure#get-insecure-random-bytes": randomBytes,
	"insecure#get-insecure-random-u64":   randomU64,
	"insecure-seed#insecure-seed":        func(*abi.Call, []any) any { return []any{random64(), random64()} },
}
