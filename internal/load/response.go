package load

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Response is an answer as it came over the wire.
type Response struct {
	Status int
	// Header holds the field lines, names in lower case, in order.
	Header [][2]string
	Body   []byte
	// Trailer holds the trailer field lines of a chunked body.
	Trailer [][2]string
	// Close says that the connection cannot be used again.
	Close bool
}

// Get returns the value of the first header field with the name, given in lower case, or "".
func (r *Response) Get(name string) string {
	for _, f := range r.Header {
		if f[0] == name {
			return f[1]
		}
	}
	return ""
}

// ErrShortBody means that the connection ended before the body did.
var ErrShortBody = errors.New("load: response body cut short")

// ErrNoResponse means that the connection ended without a single byte of response.
var ErrNoResponse = errors.New("load: connection closed without a response")

// readResponse reads one final response. It is strict: whatever does not follow RFC 9112 is an error.
func readResponse(r *bufio.Reader, head bool) (*Response, error) {
	for {
		resp, err := readHead(r)
		if err != nil {
			return nil, err
		}
		if resp.Status >= 200 {
			return resp, readBody(r, resp, head)
		}
	}
}

func readHead(r *bufio.Reader) (*Response, error) {
	line, err := readLine(r)
	if err != nil {
		if errors.Is(err, io.EOF) && line == "" {
			return nil, ErrNoResponse
		}
		return nil, fmt.Errorf("load: read status line: %w", err)
	}
	proto, rest, _ := strings.Cut(line, " ")
	code, _, _ := strings.Cut(rest, " ")
	status, err := strconv.Atoi(code)
	if err != nil || len(code) != 3 || !strings.HasPrefix(proto, "HTTP/1.") {
		return nil, fmt.Errorf("load: bad status line %q", line)
	}
	resp := &Response{Status: status, Close: proto == "HTTP/1.0"}
	resp.Header, err = readFields(r)
	if err != nil {
		return nil, err
	}
	switch strings.ToLower(resp.Get("connection")) {
	case "close":
		resp.Close = true
	case "keep-alive":
		resp.Close = false
	}
	return resp, nil
}

func readFields(r *bufio.Reader) ([][2]string, error) {
	var fields [][2]string
	for {
		line, err := readLine(r)
		if err != nil {
			return nil, fmt.Errorf("load: read field: %w", err)
		}
		if line == "" {
			return fields, nil
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			return nil, fmt.Errorf("load: bad field line %q", line)
		}
		fields = append(fields, [2]string{strings.ToLower(name), strings.Trim(value, " \t")})
	}
}

// readLine reads to CR LF and refuses a bare LF.
func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return line, err
	}
	text, ok := strings.CutSuffix(line, "\r\n")
	if !ok {
		return "", fmt.Errorf("load: line ends in a bare LF: %q", line)
	}
	return text, nil
}

func readBody(r *bufio.Reader, resp *Response, head bool) error {
	length, encoding := resp.Get("content-length"), resp.Get("transfer-encoding")
	switch {
	case head || resp.Status == 204 || resp.Status == 304:
		return nil
	case encoding != "" && length != "":
		return errors.New("load: response with both Content-Length and Transfer-Encoding")
	case encoding == "chunked":
		return readChunked(r, resp)
	case encoding != "":
		return fmt.Errorf("load: transfer encoding %q", encoding)
	case length != "":
		n, err := strconv.ParseInt(length, 10, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("load: bad Content-Length %q", length)
		}
		return readExactly(r, resp, n)
	}
	resp.Close = true
	var err error
	resp.Body, err = io.ReadAll(r)
	return err
}

func readExactly(r *bufio.Reader, resp *Response, n int64) error {
	at := len(resp.Body)
	resp.Body = append(resp.Body, make([]byte, n)...)
	got, err := io.ReadFull(r, resp.Body[at:])
	if err != nil {
		resp.Body = resp.Body[:at+got]
		return errors.Join(ErrShortBody, err)
	}
	return nil
}

func readChunked(r *bufio.Reader, resp *Response) error {
	for {
		line, err := readLine(r)
		if err != nil {
			return errors.Join(ErrShortBody, err)
		}
		n, err := strconv.ParseUint(line, 16, 31)
		if err != nil {
			return fmt.Errorf("load: bad chunk size %q", line)
		}
		if n == 0 {
			resp.Trailer, err = readFields(r)
			return err
		}
		if err := readExactly(r, resp, int64(n)); err != nil {
			return err
		}
		if end, err := readLine(r); err != nil || end != "" {
			return errors.Join(ErrShortBody, err)
		}
	}
}
