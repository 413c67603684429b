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

// maxRequestID is the length of the longest request ID taken from a client.
const maxRequestID = 64

// requestIDs names requests: with what the client calls them, if it does so sanely, else with a number after a random
// prefix of this worker. They need to be unique, not secret.
type requestIDs struct {
	prefix string
	n      atomic.Uint64
}

func newRequestIDs() *requestIDs {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return &requestIDs{prefix: hex.EncodeToString(b[:]) + "-"}
}

// assign sets r.ID. An ID made here is written to room, if it fits, and lives as long as that.
func (ids *requestIDs) assign(r *exchange.Request, room []byte) {
	if id := clientID(r.Fields); id != "" {
		r.ID = id
		return
	}
	id := append(room[:0], ids.prefix...)
	id = strconv.AppendUint(id, ids.n.Add(1), 16)
	r.ID = unsafe.String(&id[0], len(id))
}

// clientID returns the client's ID for its request, if it is sane.
func clientID(fields exchange.Fields) string {
	for i := range fields {
		f := &fields[i]
		if len(f.Name) == len("X-Request-Id") && strings.EqualFold(f.Name, "X-Request-Id") {
			if len(f.Value) > maxRequestID || !exchange.ValidName(f.Value) {
				return ""
			}
			return f.Value
		}
	}
	return ""
}
