// Package sockets opens, inherits and hands on the sockets that appserver listens on. The arbiter parses the bind
// settings with it, listens (Listen, ListenInherited) and keeps the resulting Set for as long as it serves; a worker
// adopts the descriptors it was given (Adopt) and accepts from them with an Acceptor that stays out of Go's netpoller.
//
// The package speaks no HTTP and no TLS and starts no process. It never goes through net.Listen or os.File.Fd, which
// make MPTCP sockets, ignore the backlog, unlink unix sockets on close and switch shared descriptors to blocking. Linux
// only: epoll, accept4 and SO_PEERCRED.
package sockets

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/appserver-go/appserver/internal/fault"
)

// Networks of an Addr.
const (
	TCP  = "tcp"  // an IPv4 address or a host name
	TCP6 = "tcp6" // an IPv6 address
	Unix = "unix" // a path, or "@name" in Linux's abstract namespace
	FD   = "fd"   // a listening socket that is already open
)

// DefaultPort is the TCP port of an address that names none, as in gunicorn.
const DefaultPort = 8000

// anyIPv4 is the host of an address that names none.
const anyIPv4 = "0.0.0.0"

// maxUnixPath is the longest path of a unix socket in bytes: sun_path less its final NUL (unix(7)).
const maxUnixPath = 107

const grammarHint = "write HOST:PORT, [IPV6]:PORT, unix:PATH or fd://NUMBER"

// Addr is an address to listen on. Only the fields of its Network are set. It is comparable.
type Addr struct {
	Network string // TCP, TCP6, Unix or FD
	Host    string // TCP, TCP6: lower case, without brackets
	Port    int    // TCP, TCP6: 0 lets the kernel choose one
	Path    string // Unix: as written; "@name" is abstract
	FD      int    // FD: the descriptor's number
}

// Parse reads an address in gunicorn's grammar (gunicorn.util.parse_address):
//
//	host  host:port  :port  [ipv6]  [ipv6]:port     port defaults to 8000, host to 0.0.0.0
//	tcp://…                                         the same; "" is 0.0.0.0:8000
//	unix:path  unix://path                          the rest is the path, so unix:///run/x is absolute, unix://run/x is not
//	unix:@name                                      abstract socket (an addition)
//	fd://n                                          an open descriptor
//
// It refuses what gunicorn misreads: more than one colon, a bare port, an IPv6 address without brackets, a URL. Errors
// are faults with a hint. Host names are resolved by Listen.
func Parse(s string) (Addr, error) {
	if rest, ok := strings.CutPrefix(s, "unix:"); ok {
		return parseUnix(s, strings.TrimPrefix(rest, "//"))
	}
	if rest, ok := strings.CutPrefix(s, "fd://"); ok {
		return parseFD(rest)
	}
	rest := strings.TrimPrefix(s, "tcp://")
	if i := strings.Index(rest, "://"); i >= 0 {
		return Addr{}, fault.New(grammarHint, "bind address %q: unknown scheme %q", s, rest[:i])
	}
	host, port, err := splitHostPort(s, rest)
	if err != nil {
		return Addr{}, err
	}
	if strings.HasPrefix(rest, "[") {
		return parseIPv6(s, host, port)
	}
	return parseHost(s, host, port)
}

func parseUnix(s, path string) (Addr, error) {
	limit, name := maxUnixPath, path
	if abstract, ok := strings.CutPrefix(path, "@"); ok {
		limit, name = limit+1, abstract // the "@" stands for the leading NUL; there is no final one
	}
	switch {
	case name == "":
		return Addr{}, fault.New("write unix:PATH, as in unix:/run/appserver.sock",
			"bind address %q: the path of the unix socket is missing", s)
	case strings.IndexByte(path, 0) >= 0:
		return Addr{}, fault.New("remove the NUL byte", "bind address %q: the path contains a NUL byte", s)
	case len(path) > limit:
		return Addr{}, fault.New("choose a shorter path, or a relative one",
			"bind address %q: the path has %d bytes, a unix socket allows %d", s, len(path), limit)
	}
	return Addr{Network: Unix, Path: path}, nil
}

func parseFD(rest string) (Addr, error) {
	fd, ok := parseDigits(rest, 1<<30)
	if !ok {
		return Addr{}, fault.New("write fd:// and the number of an open socket, as in fd://3",
			"'%s' is not a valid file descriptor", printable(rest))
	}
	return Addr{Network: FD, FD: fd}, nil
}

// splitHostPort cuts rest, which is s without its scheme. It wants at most one colon outside of brackets.
func splitHostPort(s, rest string) (host string, port int, err error) {
	portText, found := "", false
	if inner, ok := strings.CutPrefix(rest, "["); ok {
		var after string
		if host, after, ok = strings.Cut(inner, "]"); !ok {
			return "", 0, fault.New("write [IPV6]:PORT, as in [::1]:8000", "bind address %q: ']' is missing", s)
		}
		if portText, found = strings.CutPrefix(after, ":"); !found && after != "" {
			return "", 0, fault.New("write [IPV6]:PORT, as in [::1]:8000", "bind address %q: unexpected text after ']'", s)
		}
	} else {
		host, portText, found = strings.Cut(rest, ":")
		if strings.Contains(portText, ":") {
			if ip, ipErr := netip.ParseAddr(rest); ipErr == nil {
				return "", 0, fault.New("write ["+ip.String()+"] or ["+ip.String()+"]:8000",
					"bind address %q: an IPv6 address needs brackets", s)
			}
			return "", 0, fault.New(grammarHint, "bind address %q: too many colons", s)
		}
	}
	if !found {
		return host, DefaultPort, nil
	}
	port, ok := parseDigits(portText, 65535)
	if !ok {
		return "", 0, fault.New("a port is a number from 0 to 65535",
			"bind address %q: '%s' is not a valid port number", s, printable(portText))
	}
	return host, port, nil
}

func parseIPv6(s, host string, port int) (Addr, error) {
	ip, err := netip.ParseAddr(host)
	if err != nil || !ip.Is6() || !plainText(host) {
		return Addr{}, fault.New("brackets are for IPv6 addresses, as in [::1]:8000",
			"bind address %q: '%s' is not an IPv6 address", s, printable(host))
	}
	return Addr{Network: TCP6, Host: ip.String(), Port: port}, nil
}

func parseHost(s, host string, port int) (Addr, error) {
	if host == "" {
		host = anyIPv4
	}
	if ip, err := netip.ParseAddr(host); err == nil { // without a colon it can only be IPv4
		return Addr{Network: TCP, Host: ip.String(), Port: port}, nil
	}
	if strings.Trim(host, "0123456789.") == "" {
		hint := grammarHint
		if n, ok := parseDigits(host, 65535); ok {
			hint = "a port needs a colon before it: :" + strconv.Itoa(n) + " or 127.0.0.1:" + strconv.Itoa(n)
		}
		return Addr{}, fault.New(hint, "bind address %q: '%s' is not a host", s, host)
	}
	if strings.Trim(host, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_") != "" {
		hint := grammarHint
		switch {
		case host == "*":
			hint = "for all addresses write " + net.JoinHostPort(anyIPv4, strconv.Itoa(port)) + " or [::]:" + strconv.Itoa(port)
		case strings.Contains(host, "/"):
			hint = "a unix socket is written unix:PATH"
		}
		return Addr{}, fault.New(hint, "bind address %q: '%s' is not a host", s, printable(host))
	}
	return Addr{Network: TCP, Host: strings.ToLower(host), Port: port}, nil
}

// parseDigits reads a number from 0 to limit that is written with digits only.
func parseDigits(s string, limit int) (int, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n <= limit
}

// plainText reports whether s has visible ASCII only, and no bracket.
func plainText(s string) bool {
	for _, r := range s {
		if r <= ' ' || r >= 0x7f || r == '[' || r == ']' {
			return false
		}
	}
	return true
}

// printable is s as it may appear in a message: quotes are the caller's.
func printable(s string) string {
	quoted := strconv.Quote(s)
	return quoted[1 : len(quoted)-1]
}

// String returns the address in the grammar of Parse, which reads it back as the same Addr.
func (a Addr) String() string {
	switch a.Network {
	case Unix:
		if strings.HasPrefix(a.Path, "//") {
			return "unix://" + a.Path
		}
		return "unix:" + a.Path
	case FD:
		return "fd://" + strconv.Itoa(a.FD)
	default:
		if a.Host == "unix" { // a host by that name; "unix:8000" would be a path
			return "tcp://" + a.hostPort()
		}
		return a.hostPort()
	}
}

func (a Addr) hostPort() string { return net.JoinHostPort(a.Host, strconv.Itoa(a.Port)) }

// URL returns the address as it is shown to people: http://127.0.0.1:8000, https://[::1]:8443, unix:/path, fd://3.
func (a Addr) URL(tls bool) string {
	switch {
	case !a.isTCP():
		return a.String()
	case tls:
		return "https://" + a.hostPort()
	default:
		return "http://" + a.hostPort()
	}
}

// isTCP reports whether the address is one of a TCP socket.
func (a Addr) isTCP() bool { return a.Network == TCP || a.Network == TCP6 }

// abstract reports whether the address is in the abstract namespace of unix sockets, where there are no files.
func (a Addr) abstract() bool { return a.Network == Unix && strings.HasPrefix(a.Path, "@") }
