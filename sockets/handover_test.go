package sockets

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// handOn gives the sockets of a set to another arbiter, in this process, as descriptors that follow each other from the
// number it returns, and the description as it travels.
func handOn(t *testing.T, s *Set) (first int, bequests []Bequest) {
	t.Helper()
	const base = 300
	for i, socket := range s.Sockets() {
		if err := socket.Control(func(fd uintptr) {
			if err := unix.Dup3(int(fd), base+i, unix.O_CLOEXEC); err != nil {
				t.Error(err)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	data, err := json.Marshal(s.Bequests())
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &bequests); err != nil {
		t.Fatal(err)
	}
	return base, bequests
}

func parseAll(t *testing.T, names ...string) (addrs []Addr) {
	t.Helper()
	for _, name := range names {
		addrs = append(addrs, mustParse(t, name))
	}
	return addrs
}

func isOpen(fd int) bool {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil
}

// The heir keeps the sockets that it is configured for, opens others, and closes the rest.
func TestSucceed(t *testing.T) {
	dir := t.TempDir()
	a, b, c := "unix:"+filepath.Join(dir, "a"), "unix:"+filepath.Join(dir, "b"), "unix:"+filepath.Join(dir, "c")
	opts := testOptions()
	opts.Slots = 2
	old := listen(t, opts, a, "127.0.0.1:0", b)
	first, bequests := handOn(t, old)
	set, kept, err := Succeed(t.Context(), first, bequests, parseAll(t, b, c, "127.0.0.1:0"), testOptions())
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close(true)
	if want := []int{1, 2, 3}; !slices.Equal(kept, want) {
		t.Errorf("kept %v, want %v", kept, want)
	}
	if isOpen(first) || !isOpen(first+3) {
		t.Error("the wrong descriptors were closed")
	}
	want := []string{old.Names()[2], c, old.Names()[1]}
	if got := set.Names(); !slices.Equal(got, want) {
		t.Errorf("listens on %v, want %v", got, want)
	}
	if n := len(set.Sockets()); n != 4 || !set.Slotted() {
		t.Errorf("%d sockets", n)
	}
	if got := set.Owned().Names(); !slices.Equal(got, []string{c}) {
		t.Errorf("owns %v beside the old arbiter", got)
	}
	for _, socket := range set.Sockets() {
		dial(t, socket).Close()
	}
}

// As long as there are two, neither refuses connections nor removes files of what both have; after Reclaim, the last does.
func TestLendAndReclaim(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	exists := func() bool { _, err := os.Lstat(path); return err == nil }
	old := listen(t, testOptions(), "unix:"+path, "127.0.0.1:0")
	old.Lend()
	first, bequests := handOn(t, old)
	set, _, err := Succeed(t.Context(), first, bequests, parseAll(t, "unix:"+path, "127.0.0.1:0"), testOptions())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*Set{old, set} {
		if all, err := s.Refuse(); all || err != nil {
			t.Errorf("Refuse = %v, %v", all, err)
		}
	}
	for _, socket := range set.Sockets() {
		dial(t, socket).Close()
	}
	if err := old.Close(true); err != nil || !exists() {
		t.Fatalf("the old arbiter removes the file: %v", err)
	}
	set.Reclaim()
	if all, err := set.Refuse(); !all || err != nil || exists() {
		t.Errorf("Refuse = %v, %v; the file exists: %v", all, err, exists())
	}
	if err := set.Close(true); err != nil {
		t.Error(err)
	}
}

// Sockets of a service manager stay its own in each arbiter, and stand instead of addresses.
func TestSucceedActivated(t *testing.T) {
	manager := listen(t, testOptions(), "127.0.0.1:0")
	old, err := ListenInherited([]int{dupFD(t, manager.Sockets()[0])}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close(false)
	first, bequests := handOn(t, old)
	if !Activated(bequests) {
		t.Errorf("%+v does not say who opened it", bequests)
	}
	set, kept, err := Succeed(t.Context(), first, bequests, parseAll(t, "127.0.0.1:1"), testOptions())
	if err != nil || len(kept) != 1 || !slices.Equal(set.Names(), old.Names()) {
		t.Fatalf("%v, kept %v", err, kept)
	}
	defer set.Close(true)
	set.Reclaim()
	if all, err := set.Refuse(); all || err != nil {
		t.Errorf("Refuse = %v, %v: the socket is the manager's", all, err)
	}
}

func TestSucceedErrors(t *testing.T) {
	old := listen(t, testOptions(), "127.0.0.1:0")
	taken := listen(t, testOptions(), "127.0.0.1:0")
	for name, test := range map[string]struct {
		change func([]Bequest)
		addrs  []Addr
	}{
		"not open":       {change: func(b []Bequest) { b[0].Count = 2 }},
		"none":           {change: func(b []Bequest) { b[0].Count = 0 }},
		"bad address":    {change: func(b []Bequest) { b[0].Addr = "a:b:c" }},
		"address in use": {change: func([]Bequest) {}, addrs: []Addr{taken.Sockets()[0].Addr()}},
	} {
		t.Run(name, func(t *testing.T) {
			first, bequests := handOn(t, old)
			defer unix.Close(first) // what was not taken
			test.change(bequests)
			if _, _, err := Succeed(t.Context(), first, bequests, test.addrs, testOptions()); err == nil {
				t.Fatal("no error")
			}
		})
	}
	dial(t, old.Sockets()[0]).Close()
}

// The file of a unix socket moves, over another one, and its socket answers there; a file that somebody has replaced stays.
func TestMoveFile(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "s.2"), filepath.Join(dir, "s")
	listen(t, testOptions(), "unix:"+to)
	set := listen(t, testOptions(), "unix:"+from)
	socket := set.Sockets()[0]
	if err := socket.MoveFile(to); err != nil {
		t.Fatal(err)
	}
	if live, _, err := probe(mustParse(t, "unix:"+to)); !live || err != nil {
		t.Errorf("nobody answers at the new path: %v", err)
	}
	if err := set.Close(true); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{from, to} {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left behind: %v", filepath.Base(path), err)
		}
	}
	if err := socket.MoveFile(from); err == nil {
		t.Error("a closed socket's file was moved")
	}
	other := listen(t, testOptions(), "unix:"+from)
	if err := os.Remove(from); err != nil {
		t.Fatal(err)
	}
	if err := other.Sockets()[0].MoveFile(to); err == nil {
		t.Error("a file that is gone was moved")
	}
}
