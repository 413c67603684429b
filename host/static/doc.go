// Package static serves files of directories: the static setting's mounts, each a prefix of paths and a directory. It is an
// exchange.Handler and can stand wherever one is wanted; workers ask it before they take a slot for the guest.
//
// Paths are decoded once and looked up below an os.Root, which symbolic links cannot leave. Only regular files are served.
// Names that begin with a dot are not there, save .well-known. Preconditions and ranges are those of RFC 9110 §13 and §14,
// read as net/http's ServeContent does.
package static
