// Package link is what lies between a socket and HTTP: the PROXY header that a proxy puts in front, TLS, and the choice of
// HTTP's version. A Door takes it off new connections; the front ends get Links. It reads nothing of HTTP but the
// preface of HTTP/2, and it opens no sockets and no files.
package link

import "net"

// Link is a client's connection, ready for HTTP.
type Link struct {
	// Socket is the connection as it was accepted. Deadlines are set on it, and closing it ends everything.
	Socket net.Conn
	// Stream carries the bytes of HTTP: Socket itself, or a *tls.Conn over it. A deadline that breaks off a write breaks a
	// *tls.Conn for good.
	Stream net.Conn
	// Early are bytes of HTTP that were read from Socket already. There are none beside TLS.
	Early []byte
	// Remote and Local are the addresses as exchange.Request has them, those that a PROXY header told included.
	Remote, Local string
	// Scheme is "https" if the client speaks TLS, to this server or to the proxy in front, and "http" if not.
	Scheme string
	// HTTP2 says that the client speaks HTTP/2. Preface says that its preface is taken off already.
	HTTP2, Preface bool
}

// Plain makes a Link of a connection that carries nothing but HTTP.
func Plain(nc net.Conn) *Link {
	l := &Link{Socket: nc, Stream: nc, Scheme: "http"}
	l.Remote, l.Local = Addresses(nc)
	return l
}

// Addresses returns the addresses of a connection as exchange.Request has them: no remote one on unix sockets.
func Addresses(nc net.Conn) (remote, local string) {
	if a, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		remote = a.String()
	}
	if a := nc.LocalAddr(); a != nil {
		local = a.String()
	}
	return remote, local
}
