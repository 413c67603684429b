package main

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// withFD lends the descriptor of a file. os.File.Fd would set it blocking, for other processes too.
func withFD(f *os.File, use func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var useErr error
	err = raw.Control(func(fd uintptr) { useErr = use(int(fd)) })
	return errors.Join(err, useErr)
}

// rawMode makes a terminal deliver keys at once and unseen. Ctrl-C goes on to be a signal; Ctrl-Z, after which somebody
// else would have this terminal, does not. Restore undoes it.
func rawMode(f *os.File) (restore func() error, err error) {
	var old unix.Termios
	err = withFD(f, func(fd int) error {
		t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err != nil {
			return err
		}
		old = *t
		t.Lflag &^= unix.ICANON | unix.ECHO
		t.Cc[unix.VMIN], t.Cc[unix.VTIME], t.Cc[unix.VSUSP] = 1, 0, 0
		return unix.IoctlSetTermios(fd, unix.TCSETS, t)
	})
	if err != nil {
		return nil, err
	}
	return func() error {
		return withFD(f, func(fd int) error { return unix.IoctlSetTermios(fd, unix.TCSETSF, &old) })
	}, nil
}

// windowSize returns the columns and lines of a terminal; of one that does not know, what every terminal has.
func windowSize(f *os.File) (width, height int) {
	width, height = 80, 24
	_ = withFD(f, func(fd int) error {
		size, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
		if err == nil && size.Col > 0 && size.Row > 0 {
			width, height = int(size.Col), int(size.Row)
		}
		return err
	})
	return width, height
}

// readKey returns the next key pressed, or 0 if none is within some milliseconds.
func readKey(f *os.File, milliseconds int) (key byte, err error) {
	err = withFD(f, func(fd int) error {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, milliseconds)
		if errors.Is(err, unix.EINTR) || err == nil && n == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		var b [1]byte
		n, err = unix.Read(fd, b[:])
		switch {
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
			return nil
		case err == nil && n == 0:
			return io.EOF
		}
		key = b[0]
		return err
	})
	return key, err
}
