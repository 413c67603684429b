package static

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/appserver-go/appserver/exchange"
)

// index is what a directory shows.
const index = "index.html"

// content is an open file as a representation to send.
type content struct {
	file     *os.File
	size     int64
	modified time.Time
	etag     string
	kind     string // its media type
	coding   string // "" for the file itself
	varies   bool   // there are others to choose from
}

// serve answers a GET or HEAD for the decoded rest of a path.
func (r *root) serve(x *exchange.Exchange, rest string) error {
	name, dir, ok := locate(rest)
	if !ok {
		return exchange.Fail(404, exchange.NotFound, "the path has a name that is not served")
	}
	file, info, err := r.open(name)
	if err != nil {
		return failure(err)
	}
	defer func() { file.Close() }()
	if info.IsDir() {
		if !dir {
			return r.redirect(x, name)
		}
		file.Close()
		name = path.Join(name, index)
		if file, info, err = r.open(name); err != nil || !info.Mode().IsRegular() {
			if err == nil || errors.Is(err, fs.ErrNotExist) {
				return exchange.Fail(403, exchange.NotFound, "the directory has no %s", index)
			}
			return failure(err)
		}
	} else if dir || !info.Mode().IsRegular() {
		return exchange.Fail(404, exchange.NotFound, "the path leads to no regular file")
	}
	c := represent(file, info, name)
	if better := r.negotiate(x, &c, name); better != nil {
		defer better.Close()
	}
	return c.respond(x)
}

// open opens a file below the root. Without O_NONBLOCK a FIFO would wait for a writer for ever.
func (r *root) open(name string) (*os.File, fs.FileInfo, error) {
	file, err := r.dir.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	return file, info, nil
}

// failure makes a client's answer of an error of the file system. What a link points to outside is not there.
func failure(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return &exchange.Failure{Status: 403, Reason: exchange.NotFound, Err: err}
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE), errors.Is(err, unix.ENOMEM), errors.Is(err, unix.EIO):
		return &exchange.Failure{Status: 500, Reason: exchange.Internal, Err: err}
	default:
		return &exchange.Failure{Status: 404, Reason: exchange.NotFound, Err: err}
	}
}

// redirect sends the client to the directory's path with a slash, without which relative links in it would not work.
func (r *root) redirect(x *exchange.Exchange, name string) error {
	to := directoryURL(x.Request.ScriptName, r.prefix, name)
	if q := x.Request.Query(); q != "" {
		to += "?" + q
	}
	x.Response.Fields.Add("Location", to)
	return answer(x, 301, "301 Moved Permanently\n")
}

func represent(file *os.File, info fs.FileInfo, name string) content {
	return content{
		file: file, size: info.Size(), modified: info.ModTime(), kind: typeOf(name),
		etag: `"` + strconv.FormatInt(info.ModTime().UnixNano(), 16) + "-" + strconv.FormatInt(info.Size(), 16) + `"`,
	}
}

// negotiate replaces c by a compressed file beside it that the client accepts, and returns that file. Like nginx' gzip_static
// it trusts that the two have the same content.
func (r *root) negotiate(x *exchange.Exchange, c *content, name string) *os.File {
	if !compressible(c.kind) {
		return nil
	}
	accepted := x.Request.Fields.Values("Accept-Encoding")
	var chosen *os.File
	for _, v := range []struct{ coding, suffix string }{{"br", ".br"}, {"gzip", ".gz"}} {
		if chosen != nil {
			break
		}
		file, info, err := r.open(name + v.suffix)
		if err != nil {
			continue
		}
		c.varies = true
		if !info.Mode().IsRegular() || !accepts(accepted, v.coding) {
			file.Close()
			continue
		}
		other := represent(file, info, name)
		other.coding, other.varies = v.coding, true
		other.etag = strings.TrimSuffix(other.etag, `"`) + "-" + v.coding + `"`
		*c, chosen = other, file
	}
	return chosen
}

// accepts reports whether a coding may be used (RFC 9110 §12.5.3).
func accepts(values []string, coding string) bool {
	verdict, named := false, false
	for _, value := range values {
		for item := range strings.SplitSeq(value, ",") {
			name, params, _ := strings.Cut(item, ";")
			name = strings.TrimSpace(name)
			if exact := strings.EqualFold(name, coding); exact || name == "*" && !named {
				verdict, named = positive(params), named || exact
			}
		}
	}
	return verdict
}

// positive reports whether parameters leave a weight above 0.
func positive(params string) bool {
	for p := range strings.SplitSeq(params, ";") {
		if q, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(p)), "q="); ok {
			weight, err := strconv.ParseFloat(q, 64)
			return err == nil && weight > 0
		}
	}
	return true
}

var copyBuffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// send writes a part of the file to the response.
func (c *content) send(x *exchange.Exchange, start, length int64) error {
	buf, _ := copyBuffers.Get().(*[64 << 10]byte)
	defer copyBuffers.Put(buf)
	for length > 0 {
		n, err := c.file.ReadAt(buf[:min(length, int64(len(buf)))], start)
		if n > 0 {
			if _, err := x.Response.Write(buf[:n]); err != nil {
				return err
			}
			start, length = start+int64(n), length-int64(n)
			continue
		}
		if err == nil || errors.Is(err, io.EOF) {
			err = errors.New("the file became shorter while it was sent")
		}
		if errors.Is(err, syscall.EISDIR) {
			return failure(err)
		}
		return &exchange.Failure{Status: 500, Reason: exchange.Internal, Err: err}
	}
	return nil
}
