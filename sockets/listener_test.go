package sockets

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestAdopt(t *testing.T) {
	s := listen(t, testOptions(), "127.0.0.1:0").Sockets()[0]
	fd := dupFD(t, s)
	// As it arrives in a worker: passed on at exec, and perhaps blocking.
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
	l, err := Adopt(fd, "")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if l.Name() != s.Name() || l.Addr().String() != s.Addr().String() {
		t.Errorf("name %q, address %s, want %q", l.Name(), l.Addr(), s.Name())
	}
	checkFlags(t, &Socket{fd: fd, name: "adopted"})
	if named, err := Adopt(dupFD(t, s), "https://x"); err != nil || named.Name() != "https://x" {
		t.Errorf("Adopt = %v, %v", named, err)
	} else {
		named.Close()
	}
}
