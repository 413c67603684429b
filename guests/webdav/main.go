// Command webdav is a WebDAV server, golang.org/x/net/webdav, as a guest. It serves the directory /data where the server
// gives it one, and otherwise keeps files in memory, as long as its instance lives: serve it with guest.isolation = "shared".
package main

import (
	"os"

	"golang.org/x/net/webdav"

	"github.com/appserver-go/appserver/guests/kit"
)

func init() {
	files := webdav.NewMemFS()
	if info, err := os.Stat("/data"); err == nil && info.IsDir() {
		files = webdav.Dir("/data")
	}
	kit.Handle(&webdav.Handler{FileSystem: files, LockSystem: webdav.NewMemLS()})
}

func main() { kit.Main() }
