package engine

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// osPage is the size of a page of the kernel on all platforms that wazero compiles for and we run on. What is found to
// be otherwise falls back to comparing.
const osPage = 4096

// scanMode is a way to find the pages of a private mapping that were written to.
type scanMode int

const (
	scanCompare scanMode = iota // compare all of them with the image
	scanPagemap                 // read /proc/self/pagemap
	scanIoctl                   // have the kernel list them (PAGEMAP_SCAN, Linux 6.7)
)

// String names the mode.
func (s scanMode) String() string { return [...]string{"compare", "pagemap", "pagemap-scan"}[s] }

// dirtyPages finds and restores the pages that guests wrote to. A page of a private mapping of a file is the file's until
// it is written to; then it is an anonymous one, in memory or swapped out, which is what both ways by the kernel's page
// tables look for. Pages stay anonymous when they are restored, so what is found is all that was ever written to.
type dirtyPages struct {
	mode scanMode
	file *os.File // /proc/self/pagemap, open as long as the process has an engine
	fd   int
}

// newDirtyPages finds out which way works here, by trying.
func newDirtyPages() dirtyPages {
	f, err := os.Open("/proc/self/pagemap")
	if err != nil || os.Getpagesize() != osPage {
		if err == nil {
			f.Close()
		}
		return dirtyPages{}
	}
	d := dirtyPages{file: f, fd: int(f.Fd())}
	for _, d.mode = range []scanMode{scanIoctl, scanPagemap} {
		if d.works() {
			return d
		}
	}
	_ = d.close()
	return dirtyPages{}
}

// close releases the page map. Calling it again does nothing.
func (d *dirtyPages) close() error {
	if d.file == nil {
		return nil
	}
	f := d.file
	d.file = nil
	return f.Close()
}

// works writes to one page of a mapping and looks whether it alone is restored.
func (d *dirtyPages) works() bool {
	img := &Image{fd: -1}
	original := bytes.Repeat([]byte{1}, 4*osPage)
	if img.fill(original) != nil {
		return false
	}
	img.refs.Store(1)
	defer func() { _ = img.release() }()
	m, err := newMemory(nil, 1, 1)
	if err != nil {
		return false
	}
	defer func() { _ = m.release() }()
	if m.adopt(img) != nil {
		return false
	}
	m.room[2*osPage] = 2
	_ = m.room[osPage] // read, so present and of the file
	n, err := d.scan(m, img)
	return err == nil && n == 1 && bytes.Equal(m.room[:len(original)], original)
}

// Pages that were written to once stay in the set. When it has become large, it may be time to forget it; not too often,
// because the kernel takes six times longer to bring a page back than copying one does.
const (
	largeSet  = 512 // pages
	dropEvery = 64  // resets
)

// restore makes the image's part of a memory equal to the image again.
func (d *dirtyPages) restore(m *memory, img *Image) error {
	n, err := d.scan(m, img)
	if err != nil {
		return err
	}
	if m.resets++; n < largeSet || m.resets < dropEvery || d.mode == scanCompare {
		return nil
	}
	m.resets = 0
	if err := unix.Madvise(m.room[:img.size], unix.MADV_DONTNEED); err != nil {
		return fmt.Errorf("drop a guest's memory: %w", err)
	}
	return nil
}

// scan restores the pages that were written to and returns how many there are.
func (d *dirtyPages) scan(m *memory, img *Image) (pages int, err error) {
	switch d.mode {
	case scanIoctl:
		return d.list(m, img)
	case scanPagemap:
		return d.read(m, img)
	}
	for at := int64(0); at < img.size; at += osPage {
		if page := m.room[at : at+osPage]; !bytes.Equal(page, img.bytes[at:at+osPage]) {
			copy(page, img.bytes[at:at+osPage])
			pages++
		}
	}
	return pages, nil
}

// The ioctl PAGEMAP_SCAN and its categories (Linux, include/uapi/linux/fs.h).
const (
	pagemapScan   = 0xc0606610
	pageIsFile    = 1 << 2
	pageIsPresent = 1 << 3
	pageIsSwapped = 1 << 4
)

// scanArgs is struct pm_scan_arg.
type scanArgs struct {
	size, flags, start, end, walkEnd, vec, vecLen, maxPages       uint64
	categoryInverted, categoryMask, categoryAnyofMask, returnMask uint64
}

// pageRegion is struct page_region.
type pageRegion struct{ start, end, _ uint64 } // the last are its categories

// scanState is what a memory keeps for scans, so that they allocate nothing.
type scanState struct {
	regions [128]pageRegion
	args    scanArgs
	entries []byte
}

// list restores the pages that the kernel lists. The vector may be too short for all: then the walk goes on from where
// it ended.
func (d *dirtyPages) list(m *memory, img *Image) (pages int, err error) {
	s := m.scanState()
	base := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(m.room))))
	a := &s.args
	*a = scanArgs{
		size: uint64(unsafe.Sizeof(*a)), start: base, end: base + uint64(img.size),
		vec: uint64(uintptr(unsafe.Pointer(&s.regions))), vecLen: uint64(len(s.regions)),
		categoryInverted: pageIsFile, categoryMask: pageIsFile, categoryAnyofMask: pageIsPresent | pageIsSwapped,
		returnMask: pageIsPresent,
	}
	for a.start < a.end {
		n, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(d.fd), pagemapScan, uintptr(unsafe.Pointer(a)))
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return pages, fmt.Errorf("list the pages a guest wrote to: %w", errno)
		}
		for _, r := range s.regions[:n] {
			from, to := r.start-base, r.end-base
			copy(m.room[from:to], img.bytes[from:to])
			pages += int((to - from) / osPage)
		}
		if a.walkEnd <= a.start {
			return pages, fmt.Errorf("list the pages a guest wrote to: the kernel does not get on")
		}
		a.start = a.walkEnd
	}
	return pages, nil
}

// Bits of an entry of /proc/self/pagemap (Linux, Documentation/admin-guide/mm/pagemap.rst).
const (
	entryPresent = 1 << 63
	entrySwapped = 1 << 62
	entryFile    = 1 << 61
)

// read restores the pages that /proc/self/pagemap shows to be ours.
func (d *dirtyPages) read(m *memory, img *Image) (pages int, err error) {
	s := m.scanState()
	if s.entries == nil {
		s.entries = make([]byte, 16<<10)
	}
	first := int64(uintptr(unsafe.Pointer(unsafe.SliceData(m.room)))) / osPage
	count := img.size / osPage
	for at := int64(0); at < count; {
		chunk := s.entries[:min(int64(len(s.entries)), (count-at)*8)]
		n, err := unix.Pread(d.fd, chunk, (first+at)*8)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n < 8 {
			return pages, fmt.Errorf("read %d bytes of the page map: %w", n, err)
		}
		for i := 0; i+8 <= n; i += 8 {
			entry := binary.NativeEndian.Uint64(chunk[i:])
			if entry&(entryPresent|entrySwapped) != 0 && entry&entryFile == 0 {
				from := (at + int64(i)/8) * osPage
				copy(m.room[from:from+osPage], img.bytes[from:])
				pages++
			}
		}
		at += int64(n) / 8
	}
	return pages, nil
}
