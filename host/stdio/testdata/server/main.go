// Command server is a guest of the tests: an HTTP/1.1 server on stdin and stdout, that does by the path of a request
// what servers do, or should not do. It is made of little, so that it is compiled in no time.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

var (
	in    = bufio.NewReader(os.Stdin)
	count int
)

type request struct {
	line, method, path string
	head               []string
	length             int
	chunked            bool
}

func main() {
	switch os.Getenv("START") {
	case "exit":
		fmt.Fprintln(os.Stderr, "nothing to do")
		os.Exit(3)
	case "return":
		return
	case "panic":
		panic("at start")
	case "spin":
		for {
			count++
		}
	}
	for {
		r, err := read()
		if err != nil {
			return
		}
		count++
		serve(r)
	}
}

func line() (string, error) {
	s, err := in.ReadString('\n')
	return strings.TrimRight(s, "\r\n"), err
}

func read() (*request, error) {
	first, err := line()
	if err != nil {
		return nil, err
	}
	r := &request{line: first}
	r.method, r.path, _ = strings.Cut(first, " ")
	r.path, _, _ = strings.Cut(r.path, " ")
	for {
		s, err := line()
		if err != nil || s == "" {
			return r, err
		}
		r.head = append(r.head, s)
		if v, ok := strings.CutPrefix(s, "Content-Length: "); ok {
			r.length, _ = strconv.Atoi(v)
		}
		r.chunked = r.chunked || s == "Transfer-Encoding: chunked"
	}
}

// body calls f with each piece of the body and returns the trailers.
func (r *request) body(f func(p []byte)) (trailers []string) {
	if !r.chunked {
		buf := make([]byte, 4096)
		for r.length > 0 {
			n, err := in.Read(buf[:min(len(buf), r.length)])
			if err != nil {
				os.Exit(4)
			}
			r.length -= n
			f(buf[:n])
		}
		return nil
	}
	for {
		s, err := line()
		if err != nil {
			os.Exit(4)
		}
		n, _ := strconv.ParseInt(s, 16, 64)
		if n == 0 {
			break
		}
		p := make([]byte, n)
		if _, err := io.ReadFull(in, p); err != nil {
			os.Exit(4)
		}
		f(p)
		line()
	}
	for {
		s, _ := line()
		if s == "" {
			return trailers
		}
		trailers = append(trailers, s)
	}
}

func print(format string, args ...any) { fmt.Fprintf(os.Stdout, format, args...) }

func reply(body string) {
	print("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// extra is a field that breaks the rules, for a protocol of that name.
func extra(protocol string) string {
	if protocol == "bad" {
		return "X-Bad: a\x01b\r\n"
	}
	return ""
}

func chunk(s string) { print("%x\r\n%s\r\n", len(s), s) }

func serve(r *request) {
	switch path, arg, _ := strings.Cut(r.path, "?"); path {
	case "/count":
		r.body(func([]byte) {})
		reply(strconv.Itoa(count))
	case "/head":
		reply(r.line + "\n" + strings.Join(r.head, "\n"))
	case "/env":
		reply(strings.Join(os.Args, " ") + "\n" + strings.Join(os.Environ(), "\n"))
	case "/echo": // each piece as it comes
		print("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n")
		n := 0
		trailers := r.body(func(p []byte) { n += len(p); chunk(string(p)) })
		print("0\r\nX-Sum: %d\r\n%s\r\n", n, strings.Join(append(trailers, ""), "\r\n"))
	case "/stream": // an event whenever the client has sent a piece, after the first
		print("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		chunk("first")
		r.body(func(p []byte) { chunk("<" + string(p) + ">") })
		print("0\r\n\r\n")
	case "/unread": // answers without reading the body, then skips it, as HTTP wants it
		reply("early")
		r.body(func([]byte) {})
	case "/refuse": // answers without reading the body and hangs up
		print("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
		os.Exit(0)
	case "/close":
		print("HTTP/1.1 200 OK\r\n\r\nuntil the end")
		os.Exit(0)
	case "/hints":
		print("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\nConnection: x\r\n\r\n")
		reply("hinted")
	case "/upgrade": // to a protocol that sends lines back, with their numbers, until one is empty
		print("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\nX-Own: yes\r\n%s\r\n", arg, extra(arg))
		for n := 1; ; n++ {
			s, err := line()
			switch {
			case err != nil && arg == "stubborn":
				for {
				}
			case err != nil, s == "":
				print("bye")
				os.Exit(0)
			}
			print("%d %s\n", n, s)
		}
	case "/status":
		print("HTTP/1.1 %s X\r\nContent-Length: 0\r\n\r\n", arg)
	case "/nobody":
		print("HTTP/1.1 204 No Content\r\n\r\n")
	case "/headof":
		if r.method == "HEAD" {
			print("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n")
		} else {
			reply("twelve bytes")
		}
	case "/extra":
		reply("fine")
		print("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
	case "/nonsense":
		print("Hello, world!\r\n\r\n")
	case "/endless":
		print("HTTP/1.1 200 OK\r\n")
		for {
			print("X-More: %s\r\n", strings.Repeat("x", 1000))
		}
	case "/crlf":
		print("HTTP/1.1 200 OK\r\nX-A: a\x00b\r\nContent-Length: 2\r\n\r\nok")
	case "/big":
		n, _ := strconv.Atoi(arg)
		print("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", n)
		for p := strings.Repeat("0123456789abcdef", 1024); n > 0; n -= len(p) {
			print("%s", p[:min(n, len(p))])
		}
	case "/half":
		print("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n%s", strings.Repeat("x", 50))
		os.Exit(5)
	case "/exit":
		n, _ := strconv.Atoi(arg)
		os.Exit(n)
	case "/panic":
		fmt.Fprintln(os.Stderr, "about to panic")
		panic("in a request")
	case "/spin":
		for {
			count++
		}
	case "/sleep":
		time.Sleep(time.Hour)
	case "/last": // ends once it has answered
		reply("last")
		os.Exit(0)
	default:
		print("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
	}
}
