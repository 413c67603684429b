package reloader

import (
	"crypto/sha256"
	"io"
	"io/fs"
	"maps"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/internal/fault"
)

// stamp is what can be known of a file without reading it. Two looks at an unchanged file give equal stamps.
type stamp struct {
	device, inode uint64
	size          int64
	mode          fs.FileMode
	modified      time.Time
	changed       time.Time // st_ctime, which no program can set back
}

// stamps are those of all watched regular files there are, by path.
type stamps map[string]stamp

func (s stamps) equal(other stamps) bool { return maps.Equal(s, other) }

func stampOf(info fs.FileInfo) stamp {
	s := stamp{size: info.Size(), mode: info.Mode(), modified: info.ModTime()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		s.device, s.inode = st.Dev, st.Ino
		s.changed = time.Unix(st.Ctim.Unix())
	}
	return s
}

// sum is the SHA-256 of a file's content.
type sum [sha256.Size]byte

// readFile returns the content's sum, and the stamp the file had all the while. The error unsteady means that it changed.
func readFile(path string) (sum, stamp, error) {
	// Not to hang should the file have become a FIFO since it was looked at.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return sum{}, stamp{}, err
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return sum{}, stamp{}, err
	}
	if !before.Mode().IsRegular() {
		return sum{}, stamp{}, fault.New("give the path of a file", "%s is not a regular file", path)
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return sum{}, stamp{}, err
	}
	after, err := f.Stat()
	if err != nil {
		return sum{}, stamp{}, err
	}
	if stampOf(before) != stampOf(after) {
		return sum{}, stamp{}, nil // equal to no stamp of a file there is
	}
	var content sum
	h.Sum(content[:0])
	return content, stampOf(after), nil
}
