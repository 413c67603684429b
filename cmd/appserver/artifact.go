package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/config"
	"github.com/appserver-go/appserver/internal/fault"
)

// maxArtifact is the size of the largest guest that is read. Larger files are mistakes: a disk image, a core dump.
const maxArtifact = 1 << 30

// artifact is the bytes of all guests of a generation as they were at one moment, in a sealed memfd that every worker reads.
// A file that changes afterwards, or while it is read, cannot make two workers differ. It holds the files one after another,
// an index of them as JSON, and the index's length in eight bytes. To the arbiter it is a descriptor to hand on.
type artifact struct {
	file  *os.File
	files []artifactFile
}

// artifactFile is a guest's file in an artifact.
type artifactFile struct {
	Path string
	Size int64
	// Digest is the SHA-256 of the bytes, in hexadecimal.
	Digest string
}

// readArtifact copies the files at the paths, each once. It does not look at what is in them: the arbiter never parses a
// guest.
func readArtifact(paths []string) (*artifact, error) {
	fd, err := unix.MemfdCreate("appserver-guest", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("keep guests in memory: %w", err)
	}
	a := &artifact{file: os.NewFile(uintptr(fd), "guests")}
	for _, path := range paths {
		if slices.ContainsFunc(a.files, func(f artifactFile) bool { return f.Path == path }) {
			continue
		}
		if err := a.add(path); err != nil {
			a.file.Close()
			return nil, err
		}
	}
	if err := a.seal(); err != nil {
		a.file.Close()
		return nil, fmt.Errorf("keep guests in memory: %w", err)
	}
	return a, nil
}

// openGuest opens a guest's file.
func openGuest(path string) (*os.File, error) {
	src, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a FIFO must not make us wait for a writer
	if err != nil {
		return nil, openFault(path, err)
	}
	info, err := src.Stat()
	if err != nil {
		src.Close()
		return nil, openFault(path, err)
	}
	switch {
	case info.IsDir():
		err = fault.WithCode(fault.LoadFailed, "name the file of a WebAssembly module", "%s is a directory", path)
	case !info.Mode().IsRegular():
		err = fault.WithCode(fault.LoadFailed, "name the file of a WebAssembly module", "%s is not a regular file", path)
	case info.Size() > maxArtifact:
		err = fault.WithCode(fault.LoadFailed, "is it the right file?", "%s is %d bytes, more than a guest may be (%d)", path, info.Size(), maxArtifact)
	case info.Size() == 0:
		err = fault.WithCode(fault.LoadFailed, "build the guest first", "%s is empty", path)
	}
	if err != nil {
		src.Close()
		return nil, err
	}
	return src, nil
}

// add copies a file.
func (a *artifact) add(path string) error {
	src, err := openGuest(path)
	if err != nil {
		return err
	}
	defer src.Close()
	hash := sha256.New()
	size, err := io.Copy(io.MultiWriter(a.file, hash), io.LimitReader(src, maxArtifact))
	if err != nil {
		return fmt.Errorf("keep %s in memory: %w", path, err)
	}
	a.files = append(a.files, artifactFile{path, size, hex.EncodeToString(hash.Sum(nil))})
	return nil
}

// seal writes the index. Nothing can change the file afterwards.
func (a *artifact) seal() error {
	index, err := json.Marshal(a.files)
	if err != nil {
		return err
	}
	if _, err := a.file.Write(binary.LittleEndian.AppendUint64(index, uint64(len(index)))); err != nil {
		return err
	}
	raw, err := a.file.SyscallConn()
	if err != nil {
		return err
	}
	const seals = unix.F_SEAL_WRITE | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
	var sealErr error
	err = raw.Control(func(fd uintptr) { _, sealErr = unix.FcntlInt(fd, unix.F_ADD_SEALS, seals) })
	return errors.Join(err, sealErr)
}

// artifactContent returns the files of an artifact by their paths. It reads at offsets: other workers share the descriptor.
func artifactContent(f *os.File) (map[string][]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	end := info.Size() - 8
	length := make([]byte, 8)
	if _, err := f.ReadAt(length, end); err != nil {
		return nil, fmt.Errorf("read the guests' index: %w", err)
	}
	n := int64(binary.LittleEndian.Uint64(length))
	if n < 0 || n > end {
		return nil, errors.New("read the guests' index: it is longer than the file")
	}
	var files []artifactFile
	index := make([]byte, n)
	if _, err := f.ReadAt(index, end-n); err != nil {
		return nil, fmt.Errorf("read the guests' index: %w", err)
	}
	if err := json.Unmarshal(index, &files); err != nil {
		return nil, fmt.Errorf("read the guests' index: %w", err)
	}
	content, at := map[string][]byte{}, int64(0)
	for _, file := range files {
		b := make([]byte, file.Size)
		if _, err := f.ReadAt(b, at); err != nil {
			return nil, fmt.Errorf("read %s: %w", file.Path, err)
		}
		content[file.Path] = b
		at += file.Size
	}
	return content, nil
}

// digest returns a name for what is in the artifact, for logs: the only file's digest, or one of all digests.
func (a *artifact) digest() string {
	if len(a.files) == 1 {
		return a.files[0].Digest
	}
	hash := sha256.New()
	for _, f := range a.files {
		fmt.Fprintln(hash, f.Digest)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// shareLimit returns how large the files may be that workers of the guests share: a guest's memory, or what is made of its
// code, which is not more than a small multiple of it.
func (a *artifact) shareLimit(cfg *config.Config) int64 {
	const spare = 1 << 20
	limit := int64(0)
	for _, p := range cfg.Programs() {
		limit = max(limit, int64(p.Guest.MemoryLimit))
	}
	for _, f := range a.files {
		limit = max(limit, 16*f.Size)
	}
	return limit + spare
}

func openFault(path string, err error) error {
	cause := err
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		cause = pathErr.Err
	}
	hint := "check the path and its permissions"
	if errors.Is(err, fs.ErrNotExist) {
		hint = "check the path; it is relative to the current directory, or to chdir where that is set"
	}
	return fault.WithCode(fault.LoadFailed, hint, "cannot open %s: %w", path, cause)
}
