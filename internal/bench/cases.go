package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// benchCase is one server under one kind of load. Cases of a group are compared with its first.
type benchCase struct {
	group, name string
	clients     int // 0: as many as the command says
	raw         string
	halfLoad    bool // offer half of what the group's first case took
	argv        func(addr string) []string
}

const (
	keepAliveRequest = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
	closeRequest     = "GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"
)

// bodyRequest brings 1 KiB and gets it back.
var bodyRequest = "POST / HTTP/1.1\r\nHost: bench\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\n\r\n" + strings.Repeat("x", 1024)

// servers makes the cases for an appserver and directory for files of other servers.
type servers struct {
	binary, guest, echo, dir string
}

func (s *servers) own(guest string, flags string) func(string) []string {
	return func(addr string) []string {
		argv := []string{
			s.binary, "serve", guest, "--bind", addr, "--log-level", "warn", "--log-format", "logfmt", "--keepalive-requests", "0",
		}
		return append(argv, strings.Fields(flags)...)
	}
}

func here(kind string) func(string) []string {
	return func(addr string) []string { return []string{"/proc/self/exe", kind, addr} }
}

func (s *servers) cases() []benchCase {
	one := "-w 1 -k threaded --threads 4 --guest-isolation "
	threaded := func(workers int) string { return fmt.Sprintf("-w %d -k threaded --threads 4", workers) }
	all := []benchCase{
		{group: "hello", name: "native net/http", argv: here("native")},
		{group: "hello", name: "http1 alone, native handler", argv: here("front")},
		{group: "hello", name: "threaded, 1 worker x 4, shared", argv: s.own(s.guest, one+"shared")},
		{group: "hello", name: "threaded, 1 worker x 4, reset", argv: s.own(s.guest, one+"reset")},
		{group: "hello", name: "threaded, 1 worker x 4, shared, no interrupt", argv: s.own(s.guest, one+"shared --guest-interrupt off")},
		{group: "hello", name: "threaded, 1 worker x 4, shared, spans of all", argv: s.own(s.guest, one+"shared --otel-endpoint http://127.0.0.1:1")},
		{group: "hello", name: "nginx, return 200", argv: s.nginx},
		{group: "hello", name: "gunicorn, 1 sync worker", argv: s.gunicorn},

		{group: "1 KiB echoed", name: "native net/http", raw: bodyRequest, argv: here("native")},
		{group: "1 KiB echoed", name: "threaded, 1 worker x 4, shared", raw: bodyRequest, argv: s.own(s.echo, one+"shared")},
		{group: "1 KiB echoed", name: "threaded, 1 worker x 4, reset", raw: bodyRequest, argv: s.own(s.echo, one+"reset")},

		{group: "close", name: "native net/http, 2 processes, one socket", raw: closeRequest, argv: here("pair")},
		{group: "close", name: "native net/http, 1 process", raw: closeRequest, argv: here("native")},
		{group: "close", name: "sync, 1 worker", raw: closeRequest, argv: s.own(s.guest, "-w 1 -k sync")},
		{group: "close", name: "sync, 2 workers", raw: closeRequest, argv: s.own(s.guest, "-w 2 -k sync")},
		{group: "close", name: "threaded, 2 workers x 4", raw: closeRequest, argv: s.own(s.guest, threaded(2))},

		{group: "half load", name: "threaded, 1 worker x 4, reset, full load", argv: s.own(s.guest, one+"reset")},
		{group: "half load", name: "threaded, 1 worker x 4, reset, half load", halfLoad: true, argv: s.own(s.guest, one+"reset")},
	}
	for _, n := range []int{1, 16, 64, 256} {
		group := fmt.Sprintf("%d connections", n)
		all = append(all, benchCase{group: group, name: "native net/http", clients: n, argv: here("native")},
			benchCase{group: group, name: "threaded, 1 worker x 4, reset", clients: n, argv: s.own(s.guest, one+"reset --queue-limit 1000")})
	}
	for _, n := range []int{1, 2, 4, 16} {
		all = append(all, benchCase{group: "workers", name: fmt.Sprintf("threaded, %d workers x 4", n), argv: s.own(s.guest, threaded(n))})
	}
	return all
}

// nginx returns nil where there is none.
func (s *servers) nginx(addr string) []string {
	path, err := exec.LookPath("nginx")
	if err != nil {
		return nil
	}
	text := strings.NewReplacer("DIR", s.dir, "ADDR", addr, "TEXT", strings.TrimSpace(helloText)).Replace(`daemon off; worker_processes 1; pid DIR/pid; error_log stderr warn;
events { worker_connections 2048; }
http {
	access_log off; keepalive_requests 1000000000;
	client_body_temp_path DIR; proxy_temp_path DIR; fastcgi_temp_path DIR; uwsgi_temp_path DIR; scgi_temp_path DIR;
	server { listen ADDR; location / { default_type "text/plain; charset=utf-8"; return 200 "TEXT\n"; } }
}
`)
	return []string{path, "-p", s.dir, "-c", s.write("nginx.conf", text)}
}

// gunicorn returns nil where there is none.
func (s *servers) gunicorn(addr string) []string {
	path, err := exec.LookPath("gunicorn")
	if err != nil {
		return nil
	}
	s.write("hello.py", `def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", "24")])
    return [b"Hello from WebAssembly!\n"]
`)
	return []string{path, "-w", "1", "-k", "sync", "-b", addr, "--log-level", "error", "--chdir", s.dir, "hello:app"}
}

// write writes a file of another server and returns its path.
func (s *servers) write(name, text string) string {
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
	return path
}
