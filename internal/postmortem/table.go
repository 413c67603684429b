package postmortem

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"
)

// tableName is what the file in memory is called; the kernel shows it in /proc/PID/fd.
const tableName = "guest-code"

const (
	maxTable = 64 << 20 // bytes of a table that are read
	maxName  = 200      // bytes of a function's name
)

// Func is a function of compiled code.
type Func struct {
	Offset int // where it begins, in bytes from the beginning of the code
	Name   string
}

// Publish shows other processes of the same user where compiled code is and what functions are in it, in ascending
// order. The file that is returned holds the table until it is closed. The parent of this process and what it starts
// may trace it from then on, which Yama (ptrace_scope 1) would not let them otherwise.
func Publish(code uintptr, size int, funcs []Func) (*os.File, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "code %x %x\n", code, size)
	for _, f := range funcs {
		fmt.Fprintf(&b, "%x %s\n", f.Offset, clean(f.Name))
	}
	fd, err := unix.MemfdCreate(tableName, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("create a table of functions: %w", err)
	}
	f := os.NewFile(uintptr(fd), tableName)
	_, err = f.Write(b.Bytes())
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE|unix.F_SEAL_SEAL)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write a table of functions: %w", err), f.Close())
	}
	// Kernels without Yama know nothing of it, and need it not.
	_ = unix.Prctl(unix.PR_SET_PTRACER, uintptr(os.Getppid()), 0, 0, 0)
	return f, nil
}

// clean makes a name fit for a line of a table or log: names come from guests.
func clean(name string) string {
	name = name[:min(len(name), maxName)]
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, name)
}

// table is a table as it is read.
type table struct {
	start, end uint64
	offsets    []uint64
	names      []string
}

// name returns the name of the function at an address.
func (t *table) name(at uint64) (string, bool) {
	if at < t.start || at >= t.end {
		return "", false
	}
	i := sort.Search(len(t.offsets), func(i int) bool { return t.offsets[i] > at-t.start }) - 1
	if i < 0 {
		return "", false
	}
	return t.names[i], true
}

// readTables reads the tables of a process.
func readTables(pid int) (tables []table) {
	links, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/fd/*")
	for _, link := range links {
		if to, err := os.Readlink(link); err != nil || !strings.HasPrefix(to, "/memfd:"+tableName+" ") {
			continue
		}
		f, err := os.Open(link)
		if err != nil {
			continue
		}
		if t, err := parseTable(io.LimitReader(io.NewSectionReader(f, 0, maxTable), maxTable)); err == nil {
			tables = append(tables, t)
		}
		f.Close()
	}
	return tables
}

// parseTable reads what Publish wrote; in a worker that lies it may be anything.
func parseTable(r io.Reader) (t table, err error) {
	in := bufio.NewScanner(r)
	var size uint64
	if !in.Scan() {
		return t, errors.New("the table is empty")
	}
	if _, err := fmt.Sscanf(in.Text(), "code %x %x", &t.start, &size); err != nil || t.start+size < t.start {
		return t, fmt.Errorf("the table begins with %q", clean(in.Text()))
	}
	t.end = t.start + size
	for in.Scan() {
		offset, name, _ := strings.Cut(in.Text(), " ")
		n, err := strconv.ParseUint(offset, 16, 64)
		if err != nil {
			return t, fmt.Errorf("the table has the offset %q", clean(offset))
		}
		t.offsets, t.names = append(t.offsets, n), append(t.names, clean(name))
	}
	if !slices.IsSorted(t.offsets) {
		return t, errors.New("the table is out of order")
	}
	return t, in.Err()
}
