package workers

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"sync/atomic"

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

// assign sets r.ID.
func (ids *requestIDs) assign(r *exchange.Request) {
	id := r.Fields.Get("X-Request-Id")
	if len(id) > maxRequestID || !exchange.ValidName(id) {
		id = ids.prefix + strconv.FormatUint(ids.n.Add(1), 16)
	}
	r.ID = id
}
