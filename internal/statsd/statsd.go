// Package statsd sends figures to a statsd server as gunicorn does, in its names and to the letter of its lines. Workers
// send those of requests, the arbiter's process the number of workers and those of lost requests, and both those of their
// log records. Nothing here ever waits: lines are gathered and sent from a goroutine of the client's own, and what cannot
// be sent at once is dropped and counted.
package statsd

import (
	"context"
	"errors"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// packet is how many bytes of lines go into one datagram: what fits the 1500 bytes of an Ethernet frame with its headers.
	packet = 1432
	// queue is how many bytes of lines may wait. What a worker makes in one interval at 50,000 requests a second fits.
	queue = 1 << 20
	// interval is how long lines wait for others to share a datagram with.
	interval = 100 * time.Millisecond
	// redial is the pause before a server that could not be reached is looked for again.
	redial = time.Second
	// dialTime bounds looking for a server; its name may have to be resolved.
	dialTime = 5 * time.Second
	// closeTime bounds sending what is left at the end.
	closeTime = time.Second
)

// Options are the settings of a Client.
type Options struct {
	// Host is the server: host:port for UDP, or unix://path for a datagram socket.
	Host string
	// Prefix begins all names; a dot is put behind it unless it has one.
	Prefix string
	// Tags are appended to each line in Datadog's form; "" means none.
	Tags string
}

// Client gathers and sends lines. Its methods may be called from any goroutine and do not wait. A nil Client drops everything.
type Client struct {
	network, address string
	prefix, suffix   string
	dropped          atomic.Uint64

	mu    sync.Mutex
	lines []byte
	spare []byte

	stop chan struct{}
	done sync.WaitGroup
	once sync.Once
}

// New makes a Client that sends until Close. That the server is not there, or not yet, is no error.
func New(o Options) *Client {
	c := &Client{network: "udp", address: o.Host, prefix: prefix(o.Prefix), stop: make(chan struct{})}
	if path, ok := strings.CutPrefix(o.Host, "unix://"); ok {
		c.network, c.address = "unixgram", path
	}
	c.suffix = "\n"
	if o.Tags != "" {
		c.suffix = "|#" + o.Tags + "\n"
	}
	c.done.Go(c.run)
	return c
}

var trailingDots = regexp.MustCompile(`^(.+[^.]+)\.*$`)

// prefix is gunicorn's: what there is, with one dot at its end.
func prefix(p string) string { return trailingDots.ReplaceAllString(p, "${1}.") }

// Request counts an answered request: gunicorn.request.duration, gunicorn.requests and gunicorn.request.status. A status of
// 0 is of a request that got no answer.
func (c *Client) Request(status int, took time.Duration) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 3
	if status == 0 {
		n = 2
	}
	if !c.room(n) {
		return
	}
	c.name("gunicorn.request.duration:")
	c.lines = strconv.AppendFloat(c.lines, float64(took.Microseconds())/1000, 'f', -1, 64)
	c.end("|ms")
	c.name("gunicorn.requests:1")
	c.end("|c|@1.0")
	if status != 0 {
		c.name("gunicorn.request.status.")
		c.lines = strconv.AppendInt(c.lines, int64(status), 10)
		c.end(":1|c|@1.0")
	}
}

// Log counts a log record of a level: "warning" or "error".
func (c *Client) Log(level string) { c.line("gunicorn.log."+level, ":1|c|@1.0") }

// Workers tells how many workers there are.
func (c *Client) Workers(n int) { c.line("gunicorn.workers:"+strconv.Itoa(n), "|g") }

// Backlog tells how many connections wait to be accepted.
func (c *Client) Backlog(n int) { c.line("gunicorn.backlog:"+strconv.Itoa(n), "|h") }

func (c *Client) line(text, end string) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.room(1) {
		c.name(text)
		c.end(end)
	}
}

// room reports whether n lines can be taken, and counts them as dropped if not. The caller holds mu.
func (c *Client) room(n int) bool {
	if len(c.lines) >= queue {
		c.dropped.Add(uint64(n))
		return false
	}
	return true
}

func (c *Client) name(s string) { c.lines = append(append(c.lines, c.prefix...), s...) }
func (c *Client) end(s string)  { c.lines = append(append(c.lines, s...), c.suffix...) }

// Dropped returns how many lines were dropped so far.
func (c *Client) Dropped() uint64 {
	if c == nil {
		return 0
	}
	return c.dropped.Load()
}

// Close sends what is left, for a second at most, and ends the client. Calling it again does nothing.
func (c *Client) Close() {
	if c == nil {
		return
	}
	c.once.Do(func() { close(c.stop) })
	c.done.Wait()
}

// run sends what has gathered, until Close.
func (c *Client) run() {
	l := link{client: c}
	defer l.close()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-c.stop
		time.AfterFunc(closeTime, cancel)
	}()
	for {
		select {
		case <-tick.C:
			l.send(ctx, c.take())
		case <-c.stop:
			l.send(ctx, c.take())
			return
		}
	}
}

// take returns the lines that have gathered. They are valid until the next take.
func (c *Client) take() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	full := c.lines
	c.lines, c.spare = c.spare[:0], full
	return full
}

// link is the way to the server.
type link struct {
	client *Client
	conn   net.Conn // nil while there is none
	raw    syscall.RawConn
	failed time.Time // when there was none to be had
}

func (l *link) close() {
	if l.conn != nil {
		l.conn.Close()
	}
	l.conn = nil
}

// send sends lines, as many in a datagram as fit. Lines that cannot be sent are dropped.
func (l *link) send(ctx context.Context, lines []byte) {
	for len(lines) > 0 {
		n := cut(lines)
		if !l.datagram(ctx, lines[:n-1]) { // without the last line's end, as gunicorn's have none
			l.client.dropped.Add(uint64(strings.Count(string(lines[:n]), "\n")))
		}
		lines = lines[n:]
	}
}

// cut returns the length of the lines that fit a datagram, one at least.
func cut(lines []byte) int {
	end := 0
	for {
		next := end
		for lines[next] != '\n' {
			next++
		}
		if next >= packet && end > 0 { // its end is not sent
			return end
		}
		end = next + 1
		if end == len(lines) {
			return end
		}
	}
}

// datagram sends one, and looks for the server anew where it has gone: a unix socket is another one after a restart.
func (l *link) datagram(ctx context.Context, p []byte) bool {
	for range 2 {
		if l.conn == nil && !l.dial(ctx) {
			return false
		}
		err := l.write(p)
		switch {
		case err == nil:
			return true
		case errors.Is(err, unix.ECONNREFUSED) && l.client.network == "udp": // about an earlier one
			continue
		case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, unix.ENOBUFS):
			return false
		}
		l.close()
	}
	return false
}

func (l *link) dial(ctx context.Context) bool {
	if time.Since(l.failed) < redial {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, l.client.network, l.client.address)
	if err != nil {
		l.failed = time.Now()
		return false
	}
	sc, ok := conn.(syscall.Conn)
	if ok {
		l.raw, err = sc.SyscallConn()
	}
	if !ok || err != nil {
		conn.Close()
		return false
	}
	l.conn = conn
	return true
}

// write sends a datagram without waiting for room: a server that hangs must cost figures and nothing else.
func (l *link) write(p []byte) error {
	var err error
	ctrlErr := l.raw.Control(func(fd uintptr) {
		err = unix.Send(int(fd), p, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	})
	return errors.Join(ctrlErr, err)
}
