package engine

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Siblings are the other workers that run the same guest with the same settings, as far as an engine has to do with
// them. What one worker has made, the others can use: files that exist in memory only and can never change. What they
// cannot use they make themselves.
type Siblings struct {
	// Inherit returns the file that another worker has offered under a name, nil if there is none. It stays the
	// caller's. nil stands for a function that returns nil.
	Inherit func(name string) *os.File
	// Offer takes a file for workers to come. It does not keep the file, which is closed after the call. nil offers none.
	Offer func(name string, f *os.File)
}

// The names of what siblings offer each other.
const (
	sharedModule = "module" // the rewritten module
	sharedCode   = "code"   // its compiled code
	sharedImage  = "image"  // the memory of an instance after its start
)

// inherit returns a file of the name, nil if there is none.
func (s *Siblings) inherit(name string) *os.File {
	if s.Inherit == nil {
		return nil
	}
	return s.Inherit(name)
}

// A sealed file begins with its content, padded with zeros to whole pages of the kernel, so that it can be mapped. The
// trailer after it says what it is, and is of the form
//
//	magic, version and name, padded with zeros to 32 bytes
//	the module's key, 32 bytes
//	the content's size, a note, and the number of words that follow, each a little-endian 64-bit number
//	the words
//
// and as long as it has to be for the most words there can be.
const (
	sealedMagic   = "appserver sealed 1 "
	sealedHead    = 32 + sha256.Size + 3*8
	sealedWords   = 1024
	sealedTrailer = 3 * osPage
	seals         = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_SEAL
)

// sealed is what a sealed file says of itself.
type sealed struct {
	name  string
	key   [sha256.Size]byte
	size  int64
	note  uint64
	words []uint64
}

// keyOf identifies a module together with everything that what is made of it depends on.
func (m *Module) keyOf(wasm []byte) [sha256.Size]byte {
	o, e := &m.opts, &m.engine.opts
	h := sha256.New()
	settings, err := json.Marshal([]any{
		runtime.Version(), runtime.GOARCH, o.MemoryLimit, o.TableLimit, e.Interrupt, e.Fuel, o.Reset, o.Salt,
	})
	if err != nil {
		panic(err) // of plain data, which it is
	}
	fmt.Fprintf(h, "%d %d ", len(settings), len(wasm))
	h.Write(settings)
	h.Write(wasm)
	return [sha256.Size]byte(h.Sum(nil))
}

func padded(size int64) int64 { return (size + osPage - 1) &^ (osPage - 1) }

// seal makes a sealed file. Pages of content that are zero take no memory. The caller closes the descriptor.
func seal(s *sealed, content []byte) (fd int, err error) {
	if len(s.words) > sealedWords {
		return -1, fmt.Errorf("seal %s: %d words are too many", s.name, len(s.words))
	}
	s.size = int64(len(content))
	fd, err = unix.MemfdCreate("appserver-"+s.name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, fmt.Errorf("create a sealed file: %w", err)
	}
	if err := writeSealed(fd, s, content); err != nil {
		return -1, errors.Join(fmt.Errorf("write a sealed file: %w", err), unix.Close(fd))
	}
	return fd, nil
}

func writeSealed(fd int, s *sealed, content []byte) error {
	end := padded(s.size)
	if err := unix.Ftruncate(fd, end+sealedTrailer); err != nil {
		return err
	}
	if err := writeSparse(fd, content); err != nil {
		return err
	}
	if err := pwrite(fd, s.trailer(), end); err != nil {
		return err
	}
	_, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
	return err
}

// writeSparse writes what is not zero, as many pages at a time as there are in a row.
func writeSparse(fd int, content []byte) error {
	var zero [osPage]byte
	blank := func(at int) bool {
		page := content[at:min(at+osPage, len(content))]
		return bytes.Equal(page, zero[:len(page)])
	}
	for at := 0; at < len(content); {
		if blank(at) {
			at += osPage
			continue
		}
		from := at
		for at < len(content) && !blank(at) {
			at += osPage
		}
		if err := pwrite(fd, content[from:min(at, len(content))], int64(from)); err != nil {
			return err
		}
	}
	return nil
}

// pwrite writes all of b, which the kernel may take in several parts.
func pwrite(fd int, b []byte, at int64) error {
	for len(b) > 0 {
		n, err := unix.Pwrite(fd, b, at)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		b, at = b[max(n, 0):], at+int64(max(n, 0))
	}
	return nil
}

// header returns how the trailer of a file of the name begins.
func header(name string) []byte {
	b := make([]byte, 32)
	copy(b, sealedMagic+name)
	return b
}

func (s *sealed) trailer() []byte {
	b := append(header(s.name), s.key[:]...)
	for _, w := range append([]uint64{uint64(s.size), s.note, uint64(len(s.words))}, s.words...) {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	return b
}

// unseal reads what a file says of itself. It is an error for the file not to be sealed, or to be something else than
// what is asked for by its name and key.
func unseal(fd int, name string, key [sha256.Size]byte) (*sealed, error) {
	have, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	if err != nil {
		return nil, fmt.Errorf("the file of the %s cannot have seals: %w", name, err)
	}
	if have&seals != seals {
		return nil, fmt.Errorf("the file of the %s is not sealed (%#x)", name, have)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("inspect the file of the %s: %w", name, err)
	}
	b := make([]byte, sealedTrailer)
	if n, err := unix.Pread(fd, b, max(st.Size-sealedTrailer, 0)); err != nil || n != len(b) {
		return nil, fmt.Errorf("the file of the %s has no trailer: %w", name, cmp.Or(err, io.ErrUnexpectedEOF))
	}
	s := &sealed{name: name, key: key}
	if !bytes.HasPrefix(b, header(name)) || !bytes.HasPrefix(b[32:], key[:]) {
		return nil, fmt.Errorf("the file of the %s is of another version, guest or configuration", name)
	}
	word := func(n int) uint64 { return binary.LittleEndian.Uint64(b[32+sha256.Size+8*n:]) }
	s.size, s.note = int64(word(0)), word(1)
	count := word(2)
	if s.size < 0 || s.size > st.Size || padded(s.size)+sealedTrailer != st.Size || count > sealedWords {
		return nil, fmt.Errorf("the file of the %s has %d bytes, which is not what it says", name, st.Size)
	}
	for n := range int(count) {
		s.words = append(s.words, word(3+n))
	}
	return s, nil
}

// offer hands a sealed file over to other workers.
func (m *Module) offer(name string, fd int) {
	if m.opts.Siblings.Offer == nil {
		return
	}
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		m.engine.opts.Log.Debug("Not offered to other workers", "name", name, "error", err)
		return
	}
	f := os.NewFile(uintptr(dup), name)
	m.opts.Siblings.Offer(name, f)
	_ = f.Close() // nothing was written to it
}

// withFD calls f with the descriptor of a file, which stays as it is.
func withFD(file *os.File, f func(fd int) error) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = raw.Control(func(fd uintptr) { inner = f(int(fd)) })
	return errors.Join(err, inner)
}
