package goplugin

import (
	"bufio"
	"io"
	"log"
	"os"
	"sync"
	"time"
)

// maxLine is the length at which a line of a plugin's output is broken.
const maxLine = 16 << 10

// releaseTime is how long the last lines may take to be read.
const releaseTime = time.Second

// output takes what a plugin prints. A plugin shares the variables of package os with the server, so os.Stdout and
// os.Stderr, and the standard logger, can be led into pipes; otherwise standard output would get into the access log,
// and standard error to where only a crash is read. What the runtime prints when the process crashes, and what C code
// prints, goes to the descriptors themselves and is not seen here.
type output struct {
	stdout, stderr *os.File // the server's own, which must not be collected and so closed
	logged         io.Writer
	ends           []*os.File // that are written to
	sources        []*os.File // that are read from
	readers        sync.WaitGroup
}

// capture begins to take output. line is called with each line and the name of its stream, from one goroutine for each
// stream.
func capture(line func(stream, text string)) (*output, error) {
	o := &output{stdout: os.Stdout, stderr: os.Stderr, logged: log.Writer()}
	for _, stream := range []struct {
		name string
		file **os.File
	}{{"stdout", &os.Stdout}, {"stderr", &os.Stderr}} {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err // what is open so far is collected
		}
		o.ends, o.sources = append(o.ends, w), append(o.sources, r)
		o.readers.Go(func() {
			defer r.Close()
			follow(r, func(text string) { line(stream.name, text) })
		})
		*stream.file = w
	}
	log.SetOutput(os.Stderr)
	return o, nil
}

// follow calls line with each line of r.
func follow(r io.Reader, line func(string)) {
	lines := bufio.NewReaderSize(r, maxLine)
	for {
		text, err := lines.ReadSlice('\n')
		if n := len(text); n > 0 && text[n-1] == '\n' {
			text = text[:n-1]
		}
		if len(text) > 0 {
			line(string(text))
		}
		if err != nil && err != bufio.ErrBufferFull {
			return
		}
	}
}

// release gives the streams back and waits until everything printed so far was taken. Programs that the plugin started
// may hold a stream open; they are not waited for.
func (o *output) release() {
	os.Stdout, os.Stderr = o.stdout, o.stderr
	log.SetOutput(o.logged)
	for i, w := range o.ends {
		_ = o.sources[i].SetReadDeadline(time.Now().Add(releaseTime))
		w.Close()
	}
	o.readers.Wait()
}
