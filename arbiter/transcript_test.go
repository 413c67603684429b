package arbiter

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/internal/fault"
	"github.com/appserver-go/appserver/internal/handover"
	"github.com/appserver-go/appserver/internal/proto"
	"github.com/appserver-go/appserver/scoreboard"
	"github.com/appserver-go/appserver/sockets"
)

var update = flag.Bool("update", false, "rewrite the transcripts in testdata; commit only what you understand")

// separator divides a file of testdata into the script and the transcript that it must give.
const separator = "----\n"

// TestTranscripts runs the lives of arbiters that testdata describes. A script is one command per line:
//
//	options key=value…       of the arbiter, first; durations as in Go
//	conduct [AGE] key=value… of the worker of that age, or of all spawned from now on
//	run DURATION             lets the clock run
//	signal NAME              sends the arbiter a signal
//	worker AGE VERB …        begin ROW METHOD TARGET ID, end ROW, freeze, stop, exit CODE, kill, retire REASON,
//	                         garbage, hangup, say TYPE
//	foreign PID              a process that is no worker dies
//	oom N                    the kernel counts N kills for want of memory
//	listen NAME…             before anything else: listens on unix sockets of these names
//	next key=value…          what the next reloads load: error, hint, takes, workers, batch, boot-timeout, max-age,
//	                         listen=NAME,… changes the sockets
//	events                   writes down the events since the last time
//	memory AGE BYTES         the resident memory of a worker
//	nofork MESSAGE | fork    no process can be started; processes can be started again
//	check                    checks instead of serving
//	heir key=value…          how new arbiters behave: opened and ready, after so long or never (negative), drops=N,…
//	                         (sockets), fail, hint, code (said instead of ready), refuse (cannot be executed)
//	successor VERB …         the new arbiter: exit CODE, kill, say TYPE
//	predecessor key=value…   before anything but listen: this arbiter was executed by another, which bequeaths workers, configured
//	elder VERB               that one: serve, gone
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			script, want, _ := strings.Cut(string(data), separator)
			var got string
			synctest.Test(t, func(t *testing.T) { got = play(t, script) })
			if *update {
				if err := os.WriteFile(file, []byte(script+separator+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("the transcript differs%s", difference(want, got))
			}
		})
	}
}

// difference shows the first line that is not as it should be, with what comes before.
func difference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	i := 0
	for i < min(len(w), len(g)) && w[i] == g[i] {
		i++
	}
	return fmt.Sprintf(" from line %d:\n%s\nwant:\n%s\ngot:\n%s", i+1, strings.Join(w[max(0, i-3):i], "\n"),
		strings.Join(w[i:min(len(w), i+8)], "\n"), strings.Join(g[i:min(len(g), i+8)], "\n"))
}

// play runs a script and returns the transcript.
func play(t *testing.T, script string) string {
	s := newSim()
	s.dir = t.TempDir()
	o := Options{
		Settings: Settings{
			Workers: 1, Threads: 1, Timeout: 5 * time.Second, AbortGrace: time.Second, WorkerTimeout: 4 * time.Second,
			BootTimeout: 10 * time.Second, GracefulTimeout: 3 * time.Second, Sockets: &sockets.Set{},
		},
		Load:       s.load,
		Program:    &Program{Path: "/bin/appserver"},
		HandOver:   func(pid int) { s.note("service manager: process %s is the service", whose(pid)) },
		Promoted:   func() { s.note("promoted") },
		Log:        slog.New(noteHandler{sim: s}),
		ReopenLogs: func() error { s.note("reopen logs"); return nil },
		Ready:      func() { s.note("server is ready") },
		Lost: func(l LostRequest) {
			s.note("lost: %s %s, id %s, after %v, slot %d, pid %d: %s",
				l.Call.Method, l.Call.Target, l.Call.ID, l.Duration.Round(time.Millisecond), l.Slot, l.PID, l.Reason)
		},
	}
	returned := make(chan error, 1)
	var a *Arbiter
	begin := func(checking bool) {
		if a != nil {
			return
		}
		if checking {
			o.Workers, o.MinReady = 1, 1
		}
		if err := o.check(); err != nil {
			t.Fatal(err)
		}
		s.base = o.Settings
		a = newArbiter(o, s)
		s.sub = a.Subscribe(10000)
		go func() {
			if !checking {
				returned <- a.Run(context.Background())
				return
			}
			facts, err := check(context.Background(), a)
			s.note("check: %v", facts.Guest)
			returned <- err
		}()
		synctest.Wait()
	}
	for line := range strings.Lines(script) {
		words := split(t, line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		switch words[0] {
		case "options":
			s.note("%s", strings.TrimSpace(line))
			parseOptions(t, &o, s, words[1:])
		case "conduct":
			parseConduct(t, s, words[1:])
		case "listen":
			o.Sockets = s.listen(t, &sockets.Set{}, words[1:])
		case "next":
			parseNext(t, s, words[1:])
		case "nofork":
			s.mu.Lock()
			s.startErr = errors.New(words[1])
			s.mu.Unlock()
		case "check":
			begin(true)
		case "heir":
			parseHeir(t, s, words[1:])
		case "predecessor":
			parseElder(t, &o, s, words[1:])
		default:
			begin(false)
			s.note("> %s", strings.TrimSpace(line))
			s.command(t, words)
		}
		synctest.Wait()
	}
	end(s, returned)
	close(s.over)
	if s.elder != nil {
		s.elder.end()
	}
	for _, f := range s.procs {
		if f != nil && (!f.gone || !f.closed) {
			t.Errorf("worker %d was left behind: gone %v, closed %v", f.age, f.gone, f.closed)
		}
	}
	return s.transcript()
}

// whose names the process ids that are the same in each run.
func whose(pid int) string {
	if pid == os.Getpid() {
		return "self"
	}
	return strconv.Itoa(pid)
}

// end notes how the arbiter returned, or brings it to its end out of the record.
func end(s *sim, returned <-chan error) {
	synctest.Wait()
	select {
	case err := <-returned:
		s.note("returned: %v (exit code %d, hint %q)", err, fault.Code(err), fault.Hint(err))
	default:
		s.mu.Lock()
		s.muted = true
		s.mu.Unlock()
		s.sigs <- syscall.SIGQUIT
		<-returned
	}
}

// split cuts a line into words; double quotes keep spaces, and # begins a comment.
func split(t *testing.T, line string) (words []string) {
	t.Helper()
	line = strings.TrimSpace(line)
	if strings.HasPrefix(line, "#") {
		return nil
	}
	quoted := false
	for _, w := range strings.FieldsFunc(line, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == ' ' && !quoted
	}) {
		words = append(words, strings.ReplaceAll(w, `"`, ""))
	}
	return words
}

func duration(t *testing.T, s string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func number32(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func parseOptions(t *testing.T, o *Options, s *sim, words []string) {
	t.Helper()
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "workers":
			o.Workers = number32(t, value)
		case "threads":
			o.Threads = number32(t, value)
		case "min-ready":
			o.MinReady = number32(t, value)
		case "timeout":
			o.Timeout = duration(t, value)
		case "abort-grace":
			o.AbortGrace = duration(t, value)
		case "worker-timeout":
			o.WorkerTimeout = duration(t, value)
		case "boot-timeout":
			o.BootTimeout = duration(t, value)
		case "graceful-timeout":
			o.GracefulTimeout = duration(t, value)
		case "max-age":
			o.MaxAge = duration(t, value)
		case "max-memory":
			o.MaxMemory = int64(number32(t, value))
		case "batch":
			o.ReloadBatch = number32(t, value)
		case "auto":
			o.AutoUpgrade = value == "true"
		case "terminal":
			s.tty = value == "true"
		default:
			t.Fatalf("unknown option %q", w)
		}
	}
}

func parseConduct(t *testing.T, s *sim, words []string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &s.conduct
	if age, err := strconv.Atoi(words[0]); err == nil {
		own := s.conduct
		c = &own
		defer func() { s.conducts[age] = own }()
		words = words[1:]
	}
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "boot":
			c.boot = value
		case "stage":
			c.stage = value
		case "message":
			c.message = value
		case "hint":
			c.hint = value
		case "code":
			c.code = number32(t, value)
		case "signal":
			c.signal = unix.SignalNum(value)
		case "stderr":
			c.stderr = value
		case "after":
			c.after = duration(t, value)
		case "drain":
			c.drain = duration(t, value)
		case "abort":
			c.abort = value
		case "examine":
			c.examine = value
		default:
			t.Fatalf("unknown conduct %q", w)
		}
	}
}

// parseNext says what the next reload loads.
func parseNext(t *testing.T, s *sim, words []string) {
	t.Helper()
	var n nextLoad
	hint := ""
	set := map[string]string{}
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "error":
			n.err = errors.New(value)
		case "hint":
			hint = value
		case "takes":
			n.takes = duration(t, value)
		default:
			set[key] = value
		}
	}
	if n.err != nil {
		n.err = fault.New(hint, "%w", n.err)
	}
	n.set = func(o *Settings, current *sockets.Set) error {
		for key, value := range set {
			switch key {
			case "workers":
				o.Workers = number32(t, value)
			case "batch":
				o.ReloadBatch = number32(t, value)
			case "boot-timeout":
				o.BootTimeout = duration(t, value)
			case "max-age":
				o.MaxAge = duration(t, value)
			case "listen":
				o.Sockets = s.listen(t, current, strings.Split(value, ","))
			default:
				t.Errorf("unknown setting %q", key)
			}
		}
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = n
}

// command does what a line of a script says to a running arbiter.
func (s *sim) command(t *testing.T, words []string) {
	t.Helper()
	switch words[0] {
	case "run":
		time.Sleep(duration(t, words[1]))
	case "signal":
		s.sigs <- signalNum(words[1])
	case "successor":
		s.heir.command(t, words[1:])
	case "elder":
		if words[1] == "gone" {
			s.elder.end()
		} else {
			s.elder.said <- handover.Message{Type: handover.Type(words[1])}
		}
	case "foreign":
		s.mu.Lock()
		s.dead = append(s.dead, death{pid: number32(t, words[1])})
		s.mu.Unlock()
		s.sigs <- syscall.SIGCHLD
	case "oom":
		s.mu.Lock()
		s.oom = int64(number32(t, words[1]))
		s.mu.Unlock()
	case "events":
		s.noteEvents()
	case "memory":
		s.mu.Lock()
		s.resident[100+number32(t, words[1])] = int64(number32(t, words[2]))
		s.mu.Unlock()
	case "fork":
		s.mu.Lock()
		s.startErr = nil
		s.mu.Unlock()
	case "worker":
		s.mu.Lock()
		age := number32(t, words[1])
		if age > len(s.procs) || s.procs[age-1] == nil {
			t.Fatalf("there is no worker %d:\n%s", age, s.out.String())
		}
		f := s.procs[age-1]
		s.mu.Unlock()
		f.command(t, words[2:])
	default:
		t.Fatalf("unknown command %q", words[0])
	}
}

// command does what a line of a script says about one worker.
func (f *fake) command(t *testing.T, words []string) {
	t.Helper()
	switch words[0] {
	case "begin":
		f.mu.Lock()
		row := &f.rows[number32(t, words[1])]
		*row = scoreboard.Entry{
			Busy: true, Serial: row.Serial + 1, Started: time.Now(),
			Call: scoreboard.Call{Method: words[2], Target: words[3], ID: words[4]},
		}
		f.mu.Unlock()
	case "end":
		f.mu.Lock()
		row := &f.rows[number32(t, words[1])]
		*row = scoreboard.Entry{Serial: row.Serial + 1}
		f.mu.Unlock()
	case "freeze", "stop":
		f.mu.Lock()
		f.frozen, f.stopped = time.Now(), words[0] == "stop"
		f.mu.Unlock()
	case "exit":
		f.die(status{code: number32(t, words[1])})
	case "kill":
		f.die(status{signal: syscall.SIGKILL})
	case "retire":
		f.say(proto.Message{Type: proto.TypeRetire, Retire: &proto.Retire{Reason: words[1]}})
	case "garbage":
		f.post(event{proc: f, kind: garbage, err: proto.ErrMalformed})
	case "hangup":
		f.post(event{proc: f, kind: eof})
	case "say":
		f.say(proto.Message{Type: proto.Type(words[1])})
	default:
		t.Fatalf("unknown command %q of a worker", words[0])
	}
}
