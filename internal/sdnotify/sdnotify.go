// Package sdnotify tells a service manager how the server is doing, by the protocol of sd_notify(3). It knows what the
// messages are, not when to send them: cmd/appserver does that. It reads the environment it is given and changes none.
package sdnotify

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/internal/fault"
)

// Notifier sends messages to the socket of a service manager. No method waits: a message that the manager has no room
// for is an error. Methods may be called from several goroutines. The nil *Notifier is that of a process without
// a service manager; it sends nothing.
type Notifier struct {
	addr     *unix.SockaddrUnix
	watchdog time.Duration
}

// New makes a Notifier of the variables NOTIFY_SOCKET (a path, or a name in the abstract namespace after "@"),
// WATCHDOG_USEC and WATCHDOG_PID, and returns the environment without them: they are meant for this process, whose id is
// pid, and not for its children. The Notifier is nil when there is no NOTIFY_SOCKET. An error is about variables that
// make no sense; rest is good all the same, and so is the Notifier if it is not nil.
func New(environ []string, pid int) (n *Notifier, rest []string, err error) {
	vars := map[string]string{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		switch name {
		case "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID":
			if _, twice := vars[name]; !twice {
				vars[name] = value
			}
		default:
			rest = append(rest, entry)
		}
	}
	path := vars["NOTIFY_SOCKET"]
	if path == "" {
		return nil, rest, nil
	}
	const hint = "the variable comes from a service manager such as systemd; unset it when there is none"
	if len(path) < 2 || path[0] != '/' && path[0] != '@' || len(path) > len(unix.RawSockaddrUnix{}.Path)-1 {
		return nil, rest, fault.New(hint, "NOTIFY_SOCKET: %.120q is neither the path of a socket nor an abstract name", path)
	}
	n = &Notifier{addr: &unix.SockaddrUnix{Name: path}}
	n.watchdog, err = watchdog(vars["WATCHDOG_USEC"], vars["WATCHDOG_PID"], pid)
	return n, rest, err
}

// watchdog reads the variables of sd_watchdog_enabled(3).
func watchdog(usec, forPID string, pid int) (time.Duration, error) {
	if usec == "" || forPID != "" && forPID != strconv.Itoa(pid) {
		return 0, nil
	}
	n, err := strconv.ParseUint(usec, 10, 63)
	if err != nil || n == 0 || n > uint64(1<<63-1)/uint64(time.Microsecond) {
		return 0, fault.New("set WatchdogSec= of the service unit", "WATCHDOG_USEC: %.40q is not a number of microseconds", usec)
	}
	return time.Duration(n) * time.Microsecond, nil
}

// Watchdog returns how long the manager waits between two Pings before it takes this process for hung; 0 means for ever.
// A process should send one in half of that time (sd_watchdog_enabled(3)).
func (n *Notifier) Watchdog() time.Duration {
	if n == nil {
		return 0
	}
	return n.watchdog
}

// Ready says that the service is up, or that the reload which Reloading began is done. Status is a line for people.
func (n *Notifier) Ready(status string) error { return n.send("READY=1", "STATUS="+line(status)) }

// Status gives people a line on how the service is doing: systemctl status shows it.
func (n *Notifier) Status(status string) error { return n.send("STATUS=" + line(status)) }

// Stopping says that the service is going down.
func (n *Notifier) Stopping(status string) error { return n.send("STOPPING=1", "STATUS="+line(status)) }

// Reloading says that the service is taking up a new configuration; Ready must follow. It carries the time, which a unit
// of Type=notify-reload wants.
func (n *Notifier) Reloading(status string) error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return os.NewSyscallError("clock_gettime", err)
	}
	return n.send("RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/1000), "STATUS="+line(status))
}

// MainPID says that another process is the service from now on, such as one that replaces this one. It must be sent by the
// process that was the service so far, or the unit needs NotifyAccess=all.
func (n *Notifier) MainPID(pid int) error { return n.send(fmt.Sprintf("MAINPID=%d", pid)) }

// Ping says that the process is alive.
func (n *Notifier) Ping() error { return n.send("WATCHDOG=1") }

// line makes text fit an assignment of the protocol.
func line(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}

// send sends assignments in one message. The socket is made anew each time: a manager may be restarted, and messages are few.
func (n *Notifier) send(assignments ...string) error {
	if n == nil {
		return nil
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("notify the service manager: %w", os.NewSyscallError("socket", err))
	}
	err = unix.Sendto(fd, []byte(strings.Join(assignments, "\n")), unix.MSG_NOSIGNAL, n.addr)
	if err != nil {
		err = fmt.Errorf("notify the service manager at %.120q: %w", n.addr.Name, os.NewSyscallError("sendto", err))
	}
	return errors.Join(err, os.NewSyscallError("close", unix.Close(fd)))
}
