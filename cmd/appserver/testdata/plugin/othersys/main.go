// Command othersys is a plugin with another version of a package that the server has.
package main

import "golang.org/x/sys/unix"

// Meta makes the package needed.
var Meta = unix.Fake()

func main() {}
