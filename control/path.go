package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/sockets"
)

// Dirs returns the directories where sockets are kept that have no path of their own, the best first. getenv is
// os.Getenv or what stands in for it.
//
//	$XDG_RUNTIME_DIR/appserver      where there is a login session
//	/run/appserver                  for root
//	$TMPDIR/appserver-UID           else
func Dirs(getenv func(string) string) []string {
	var dirs []string
	if dir := getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		dirs = append(dirs, filepath.Join(dir, "appserver"))
	}
	if os.Geteuid() == 0 {
		dirs = append(dirs, "/run/appserver")
	}
	tmp := getenv("TMPDIR")
	if !filepath.IsAbs(tmp) {
		tmp = "/tmp"
	}
	return append(dirs, filepath.Join(tmp, "appserver-"+strconv.Itoa(os.Geteuid())))
}

// instanceName is the file name of a socket in one of the Dirs: the arbiter's pid.
var instanceName = regexp.MustCompile(`^[1-9][0-9]{0,9}\.sock$`)

// Find returns the paths of the sockets in dirs, live or not. Directories that others could have put sockets into are
// passed over.
func Find(dirs []string) []string {
	var paths []string
	for _, dir := range dirs {
		if trusted(dir) != nil {
			continue
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if e.Type()&os.ModeSocket != 0 && instanceName.MatchString(e.Name()) {
				paths = append(paths, filepath.Join(dir, e.Name()))
			}
		}
	}
	return paths
}

// trusted reports why dir may hold what another user put there, or that it does not exist. One that root or a service
// manager made may be open for reading: the sockets in it are not.
func trusted(dir string) error {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return &os.PathError{Op: "lstat", Path: dir, Err: err}
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return fmt.Errorf("%s is not a directory", dir)
	case st.Uid != 0 && int(st.Uid) != os.Geteuid():
		return fmt.Errorf("%s belongs to another user", dir)
	case st.Mode&0o022 != 0:
		return fmt.Errorf("%s may be written to by others", dir)
	}
	return nil
}

// prepare makes dir ready for a socket: it exists, is ours, and holds no sockets of servers that are gone.
func prepare(ctx context.Context, dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if err := trusted(dir); err != nil {
		return err
	}
	for _, path := range Find([]string{dir}) {
		// A socket in use is no error here, and one that cannot be removed is in nobody's way.
		_ = sockets.RemoveStale(ctx, path)
	}
	return nil
}
