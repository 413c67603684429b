package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/config"
	"github.com/appserver-go/appserver/internal/fault"
)

// maxArtifact is the size of the largest guest that is read. Larger files are mistakes: a disk image, a core dump.
const maxArtifact = 1 << 30

// artifact is a guest's bytes as they were at one moment, in a sealed memfd that every worker of a generation
// reads. A file that changes afterwards, or while it is read, cannot make two workers differ.
type artifact struct {
	file *os.File
	size int64
	// digest is the SHA-256 of the bytes, in hexadecimal.
	digest string
}

// readArtifact copies the file at path. It does not look at what is in it: the arbiter never parses a guest.
func readArtifact(path string) (*artifact, error) {
	src, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a FIFO must not make us wait for a writer
	if err != nil {
		return nil, openFault(path, err)
	}
	defer src.Close()
	info, err := src.Stat()
	if err != nil {
		return nil, openFault(path, err)
	}
	switch {
	case info.IsDir():
		return nil, fault.WithCode(fault.LoadFailed, "name the file of a WebAssembly module", "%s is a directory", path)
	case !info.Mode().IsRegular():
		return nil, fault.WithCode(fault.LoadFailed, "name the file of a WebAssembly module", "%s is not a regular file", path)
	case info.Size() > maxArtifact:
		return nil, fault.WithCode(fault.LoadFailed, "is it the right file?", "%s is %d bytes, more than a guest may be (%d)", path, info.Size(), maxArtifact)
	case info.Size() == 0:
		return nil, fault.WithCode(fault.LoadFailed, "build the guest first", "%s is empty", path)
	}
	return sealCopy(path, src)
}

func sealCopy(path string, src io.Reader) (*artifact, error) {
	fd, err := unix.MemfdCreate("appserver-guest", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("keep %s in memory: %w", path, err)
	}
	a := &artifact{file: os.NewFile(uintptr(fd), path)}
	hash := sha256.New()
	a.size, err = io.Copy(io.MultiWriter(a.file, hash), io.LimitReader(src, maxArtifact))
	if err == nil {
		seals := unix.F_SEAL_WRITE | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
	}
	if err != nil {
		a.file.Close()
		return nil, fmt.Errorf("keep %s in memory: %w", path, err)
	}
	a.digest = hex.EncodeToString(hash.Sum(nil))
	return a, nil
}

// shareLimit returns how large the files may be that workers of the guest share: a guest's memory, or what is made of its
// code, which is not more than a small multiple of it.
func (a *artifact) shareLimit(cfg *config.Config) int64 {
	const spare = 1 << 20
	return max(int64(cfg.Guest.MemoryLimit), 16*a.size) + spare
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
