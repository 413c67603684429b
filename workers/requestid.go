package workers

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"strings"
	"sync/atomic"
	"unsafe"

	"github.com/appserver-go/appserver/exchange"
)

// maxRequestID is the length of the longest request ID taken from a proxy; the scoreboard has room for so much.
const maxRequestID = 64

// requestIDs names requests: with what a trusted proxy calls them, if it does so sanely, else with a number after a random
// prefix of this worker. They need to be unique, not secret.
type requestIDs struct {
	header string // the field that carries IDs in both directions, "" for none
	prefix string
	n      atomic.Uint64
}

func newRequestIDs(header string) *requestIDs {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return &requestIDs{header: header, prefix: hex.EncodeToString(b[:]) + "-"}
}

// assign sets r.ID and the field that tells the guest of it. An ID made here is written to room, if it fits, and lives as
// long as that.
func (ids *requestIDs) assign(r *exchange.Request, room []byte, trust *Trust) {
	if id := ids.given(r.Fields); id != "" && trust.Believes(r.RemoteAddr) {
		r.ID = id
	} else {
		made := append(room[:0], ids.prefix...)
		made = strconv.AppendUint(made, ids.n.Add(1), 16)
		r.ID = unsafe.String(&made[0], len(made))
	}
	if ids.header != "" {
		r.Fields.Set(ids.header, r.ID)
	}
}

// given returns the ID that the request came with, if it is a sane one.
func (ids *requestIDs) given(fields exchange.Fields) string {
	for i := range fields {
		f := &fields[i]
		if len(f.Name) == len(ids.header) && strings.EqualFold(f.Name, ids.header) {
			if !saneID(f.Value) {
				return ""
			}
			return f.Value
		}
	}
	return ""
}

// saneID reports whether an ID is one that can be put into any log: those of proxies are UUIDs, ULIDs, hexadecimal
// numbers and base64.
func saneID(id string) bool {
	for i := 0; i < len(id); i++ {
		c := id[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~+/=:@", c) >= 0) {
			return false
		}
	}
	return id != "" && len(id) <= maxRequestID
}
