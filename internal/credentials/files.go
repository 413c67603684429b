package credentials

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/internal/fault"
)

// Files are the paths that credentials are read from.
type Files struct {
	// Certificate may hold the key as well; Key is then empty.
	Certificate, Key string
	// ClientCAs is empty where clients need no certificates.
	ClientCAs string
}

// Paths returns the paths that are not empty.
func (f Files) Paths() []string {
	var paths []string
	for _, p := range []string{f.Certificate, f.Key, f.ClientCAs} {
		if p != "" {
			paths = append(paths, p)
		}
	}
	return paths
}

// Read reads credentials, without ticket keys, and checks that they belong together. Its errors are faults.
func Read(f Files) (*Credentials, error) {
	if f.Key == "" {
		f.Key = f.Certificate
	}
	c := &Credentials{}
	for _, file := range []struct {
		setting, path string
		to            *string
	}{
		{"certfile", f.Certificate, &c.Certificate}, {"keyfile", f.Key, &c.Key}, {"ca_certs", f.ClientCAs, &c.ClientCAs},
	} {
		if file.path == "" {
			continue
		}
		text, err := readFile(file.path)
		if err != nil {
			return nil, fault.New("check the path, and that whoever starts the server may read it", "%s: cannot read %s: %w", file.setting, file.path, err)
		}
		*file.to = text
	}
	return c, c.check(f)
}

// readFile reads a regular file, but no more than credentials may have.
func readFile(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a FIFO must not make us wait for a writer
	if err != nil {
		return "", cause(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", cause(err)
	}
	if !info.Mode().IsRegular() {
		return "", errors.New("it is not a regular file")
	}
	data, err := io.ReadAll(io.LimitReader(f, 8*maxSize))
	return string(data), cause(err)
}

// cause is err without the path.
func cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
