// Command files works with the directory /data and tells what came of it.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"

	"github.com/appserver-go/appserver/guests/kit"
)

func init() {
	kit.Handle(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		tell := func(what string, err error) {
			var e *fs.PathError
			if errors.As(err, &e) {
				err = e.Err
			}
			fmt.Fprintf(w, "%s: %v\n", what, err)
		}
		text, err := os.ReadFile("/data/in.txt")
		tell(fmt.Sprintf("read %q", text), err)
		_, err = os.ReadFile("/data/absent")
		tell("absent", err)
		_, err = os.ReadFile("/data/link")
		tell("link out", err)
		_, err = os.ReadFile("/data/../../etc/passwd")
		tell("out", err)
		tell("mkdir", os.Mkdir("/data/dir", 0o755))
		tell("write", os.WriteFile("/data/dir/a", []byte("one two"), 0o644))
		f, err := os.OpenFile("/data/dir/a", os.O_APPEND|os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteString(" three")
			err = errors.Join(err, f.Close())
		}
		tell("append", err)
		tell("rename", os.Rename("/data/dir/a", "/data/dir/b"))
		text, err = os.ReadFile("/data/dir/b")
		tell(fmt.Sprintf("read %q", text), err)
		list, err := os.ReadDir("/data")
		var names []string
		for _, e := range list {
			names = append(names, fmt.Sprint(e.Name(), e.IsDir()))
		}
		tell(strings.Join(names, " "), err)
		info, err := os.Stat("/data/in.txt")
		if err == nil {
			tell(fmt.Sprint("stat ", info.Size(), info.Mode().IsRegular()), nil)
		}
		tell("symlink", os.Symlink("/etc", "/data/etc"))
		tell("remove", os.Remove("/data/dir/b"))
		tell("rmdir", os.Remove("/data/dir"))
	}))
}

func main() { kit.Main() }
