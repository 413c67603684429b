package workers

import (
	"net"
	"time"

	"github.com/appserver-go/appserver/exchange"
)

// call is a request on its way through a front end: a *http1.Call or a *http2.Call, which say what the methods do.
type call interface {
	X() *exchange.Exchange
	Room() []byte
	NetConn() net.Conn
	SetDeadline(t time.Time)
	CloseConnection()
	BodyErr() error
	BodyRead() int64
	Gone() bool
}
