package otlp

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// queue is how many bytes of spans may wait. It is a second of them at 6,000 requests a second, and well below what
	// collectors accept at once.
	queue = 4 << 20
	// batch is how many bytes of spans are sent without waiting for more.
	batch = 256 << 10
	// interval is how long spans wait for others.
	interval = time.Second
	// closeTime bounds sending what is left at the end.
	closeTime = 2 * time.Second
	// attempts are how often spans are sent before they are given up; pauses between them double from firstPause.
	attempts   = 5
	firstPause = time.Second
)

// Options are the settings of an Exporter.
type Options struct {
	// Endpoint is the collector's base URL. Spans go to /v1/traces below it.
	Endpoint string
	// Service is the name of the service, and Version that of this program.
	Service, Version string
	// Log is told when the collector does not take spans, and when it does again.
	Log *slog.Logger
}

// Exporter gathers and sends spans. Its methods may be called from any goroutine and do not wait, but for Close. A nil
// Exporter has dropped nothing and closes.
type Exporter struct {
	url     string
	shown   string // for logs, without a password
	agent   string
	head    []byte
	log     *slog.Logger
	client  *http.Client
	room    sync.Pool // *[]byte, for a span's JSON
	dropped atomic.Uint64

	mu      sync.Mutex
	waiting load
	usual   int // the size of the last load, about that of the next

	failing bool // of run alone
	full    chan struct{}
	stop    chan struct{}
	done    sync.WaitGroup
	once    sync.Once
}

// load is a number of spans as a whole message but for its tail. body is nil when there are none.
type load struct {
	body []byte
	n    uint64
}

// New makes an Exporter that sends until Close. That the collector is not there, or not yet, is no error.
func New(o Options) *Exporter {
	e := &Exporter{
		url: strings.TrimSuffix(o.Endpoint, "/") + "/v1/traces", agent: "appserver/" + o.Version, log: o.Log,
		head:   head(o.Service, o.Version, instanceID(), os.Getpid()),
		client: newClient(), full: make(chan struct{}, 1), stop: make(chan struct{}),
	}
	e.shown = e.url
	if u, err := url.Parse(e.url); err == nil {
		e.shown = u.Redacted()
	}
	e.done.Go(e.run)
	return e
}

// instanceID makes a random UUID (RFC 9562 §5.4), which the conventions recommend.
func instanceID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Add takes a span, or drops it if too many wait.
func (e *Exporter) Add(s *Span) {
	room, ok := e.room.Get().(*[]byte)
	if !ok {
		room = new([]byte)
	}
	*room = appendSpan((*room)[:0], s)
	e.push(*room)
	e.room.Put(room)
}

func (e *Exporter) push(span []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	w := &e.waiting
	switch {
	case len(w.body)+len(span) > queue:
		e.dropped.Add(1)
		return
	case w.n == 0:
		w.body = append(make([]byte, 0, len(e.head)+len(span)+e.usual), e.head...)
	default:
		w.body = append(w.body, ',')
	}
	w.body = append(w.body, span...)
	w.n++
	if len(w.body) >= batch {
		select {
		case e.full <- struct{}{}:
		default:
		}
	}
}

// take returns the spans that have gathered. Their buffer is not used again, since the HTTP client may read it even after
// a request has failed.
func (e *Exporter) take() load {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.waiting
	e.waiting, e.usual = load{}, min(len(l.body), batch)
	return l
}

// Dropped returns how many spans were dropped so far.
func (e *Exporter) Dropped() uint64 {
	if e == nil {
		return 0
	}
	return e.dropped.Load()
}

// Close sends what is left, for two seconds at most, and ends the exporter. Calling it again does nothing.
func (e *Exporter) Close() {
	if e == nil {
		return
	}
	e.once.Do(func() { close(e.stop) })
	e.done.Wait()
}

// run sends what has gathered, until Close.
func (e *Exporter) run() {
	defer e.client.CloseIdleConnections()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // ends with ctx or closeTime after stop
		select {
		case <-e.stop:
			time.AfterFunc(closeTime, cancel)
		case <-ctx.Done():
		}
	}()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for last := false; !last; {
		select {
		case <-tick.C:
		case <-e.full:
		case <-e.stop:
			last = true
		}
		if l := e.take(); l.n > 0 {
			e.deliver(ctx, l)
		}
	}
	e.dropped.Add(e.take().n) // added since by requests that were cut off
}

// deliver sends spans, several times if need be, and drops them if it is all in vain. After Close there is one attempt.
func (e *Exporter) deliver(ctx context.Context, l load) {
	l.body = append(l.body, tail...)
	pause := firstPause
	for attempt := 1; ; attempt++ {
		rejected, err := e.post(ctx, l.body)
		e.dropped.Add(min(rejected, l.n))
		if e.report(err); err == nil {
			return
		}
		again, after := retry(err)
		if !again || attempt == attempts || e.stopped() {
			e.dropped.Add(l.n)
			return
		}
		e.sleep(max(pause, after))
		pause *= 2
	}
}

// report logs that the collector has begun to fail, or to work again. One line for each is enough: the metric tells the rest.
func (e *Exporter) report(err error) {
	switch {
	case err != nil && !e.failing:
		e.log.Warn("The collector of spans does not take them", "url", e.shown, "error", err.Error())
	case err == nil && e.failing:
		e.log.Info("The collector takes spans again", "dropped", e.Dropped())
	}
	e.failing = err != nil
}

func (e *Exporter) stopped() bool {
	select {
	case <-e.stop:
		return true
	default:
		return false
	}
}

// sleep waits, or for Close.
func (e *Exporter) sleep(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-e.stop:
	}
}
