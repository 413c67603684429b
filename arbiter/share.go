package arbiter

import (
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/internal/proto"
)

// maxShared is how many files a generation's workers can share: up to three for each of its guests. Every worker gets them
// as descriptors.
const maxShared = 96

// sharedFile is what a worker has made for those after it, such as its guest's memory after the start. The arbiter hands
// the descriptor on and never looks into the file: it may come from a guest that has taken its worker over. That a file
// is sealed makes it the same for all who get it, and as large as it was when it was looked at.
type sharedFile struct {
	name string
	file *os.File
}

// share keeps what a worker shares with later workers of its generation; of two files of a name the first counts. An
// error means that no worker of ours would have sent it.
func (a *Arbiter) share(w *worker, m *proto.Message) error {
	g := w.spec.gen
	size, err := sealedSize(m.File)
	switch known := func(f sharedFile) bool { return f.name == m.Share.Name }; {
	case err != nil:
		return fmt.Errorf("shared a %s: %w", m.Share.Name, err)
	case w.state != booted || w.spec.check || a.past(g) || slices.ContainsFunc(g.shared, known):
		return nil
	case size > g.limits.share || len(g.shared) == maxShared:
		w.log.Debug("Not kept for other workers", "name", m.Share.Name, "bytes", size)
		return nil
	}
	g.shared = append(g.shared, sharedFile{m.Share.Name, m.File})
	m.File = nil // the generation's from now on
	w.log.Debug("Kept for later workers", "name", m.Share.Name, "bytes", size)
	return nil
}

// past reports whether no more workers are started in a generation.
func (a *Arbiter) past(g *generation) bool {
	return a.halt != nil || g != a.gen && (a.reload == nil || a.reload.gen != g)
}

// sealedSize returns the size of a file that nobody can change any more.
func sealedSize(f *os.File) (size int64, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	const all = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_SEAL
	var st unix.Stat_t
	var seals int
	var statErr error
	err = raw.Control(func(fd uintptr) {
		seals, statErr = unix.FcntlInt(fd, unix.F_GET_SEALS, 0) // fails for what is no memfd
		if statErr == nil {
			statErr = unix.Fstat(int(fd), &st)
		}
	})
	switch {
	case err != nil:
		return 0, err
	case statErr != nil:
		return 0, statErr
	case seals&all != all:
		return 0, fmt.Errorf("the file can be changed (seals %#x)", seals)
	}
	return st.Size, nil
}
