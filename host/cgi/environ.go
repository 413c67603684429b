package cgi

import (
	"net"
	"strconv"
	"strings"

	"github.com/appserver-go/appserver/exchange"
)

// software is SERVER_SOFTWARE.
const software = "appserver"

// meta holds the names of the variables that every request sets: those of RFC 3875 4.1, of WAGI, and REQUEST_URI,
// REQUEST_SCHEME, REMOTE_PORT and HTTPS, which Apache made customary.
var meta = map[string]bool{
	"AUTH_TYPE": true, "CONTENT_LENGTH": true, "CONTENT_TYPE": true, "GATEWAY_INTERFACE": true, "HTTPS": true,
	"PATH_INFO": true, "PATH_TRANSLATED": true, "QUERY_STRING": true, "REMOTE_ADDR": true, "REMOTE_HOST": true,
	"REMOTE_PORT": true, "REMOTE_USER": true, "REQUEST_METHOD": true, "REQUEST_SCHEME": true, "REQUEST_URI": true,
	"SCRIPT_NAME": true, "SERVER_NAME": true, "SERVER_PORT": true, "SERVER_PROTOCOL": true, "SERVER_SOFTWARE": true,
	"X_FULL_URL": true, "X_MATCHED_ROUTE": true, "X_RAW_PATH_INFO": true,
}

// environ returns the environment of a run. Errors are a *Failure.
func (g *Guest) environ(req *exchange.Request, r *request) ([]string, error) {
	info, err := unescape(r.path)
	if err != nil {
		return nil, err
	}
	if r.target == "*" { // OPTIONS of the server as a whole
		info = ""
	}
	scheme := req.Scheme
	if scheme == "" {
		scheme = "http"
	}
	name, port := serverOf(req, scheme)
	addr, remotePort := splitAddr(req.RemoteAddr)
	env := make([]string, 0, len(g.env)+len(meta)+len(req.Fields)+len(g.http))
	env = append(env, g.env...)
	env = append(env,
		"AUTH_TYPE=",
		"CONTENT_LENGTH="+strconv.FormatInt(max(r.length, 0), 10),
		"CONTENT_TYPE="+r.contentType,
		"GATEWAY_INTERFACE=CGI/1.1",
		"PATH_INFO="+info,
		"PATH_TRANSLATED="+info,
		"QUERY_STRING="+r.query,
		"REMOTE_ADDR="+addr,
		"REMOTE_HOST="+addr,
		"REMOTE_PORT="+remotePort,
		"REMOTE_USER=",
		"REQUEST_METHOD="+r.method,
		"REQUEST_SCHEME="+scheme,
		"REQUEST_URI="+received(req, r),
		"SCRIPT_NAME="+req.ScriptName,
		"SERVER_NAME="+name,
		"SERVER_PORT="+port,
		"SERVER_PROTOCOL="+req.Proto,
		"SERVER_SOFTWARE="+software,
		"X_FULL_URL="+scheme+"://"+hostOf(req, name)+req.ScriptName+r.target,
		"X_MATCHED_ROUTE="+req.ScriptName+"/...",
		"X_RAW_PATH_INFO="+r.path,
	)
	if scheme == "https" {
		env = append(env, "HTTPS=on")
	}
	return g.appendFields(env, req), nil
}

// received returns the target as it came in; the request may have been changed on the way here.
func received(req *exchange.Request, r *request) string {
	if req.Received != "" {
		return req.Received
	}
	return r.target
}

// appendFields adds a variable HTTP_* for each header field (RFC 3875 4.1.18).
func (g *Guest) appendFields(env []string, req *exchange.Request) []string {
	first := len(env)
	if req.Host != "" {
		env = append(env, "HTTP_HOST="+req.Host)
	}
	for _, f := range req.Fields {
		if !exported(f.Name) {
			continue
		}
		name := "HTTP_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if i := find(env[first:], name); i >= 0 {
			sep := ", "
			if name == "HTTP_COOKIE" { // RFC 9113 8.2.3
				sep = "; "
			}
			env[first+i] += sep + f.Value
			continue
		}
		env = append(env, name+"="+f.Value)
	}
	for name, kv := range g.http {
		if find(env[first:], name) < 0 {
			env = append(env, kv)
		}
	}
	return env
}

// exported reports whether a header field becomes a variable. Those with a variable of their own do not; nor does
// Proxy, which programs would take for the proxy to use (httpoxy); nor does a name with "_", which could pass itself
// off as one with "-". Authorization does, against the advice for servers that check it themselves: this one does not.
func exported(name string) bool {
	for _, no := range [...]string{"Content-Length", "Content-Type", "Host", "Proxy"} {
		if strings.EqualFold(name, no) {
			return false
		}
	}
	return !strings.Contains(name, "_")
}

// find returns the index of the variable with the name, or -1.
func find(env []string, name string) int {
	for i, kv := range env {
		if len(kv) > len(name) && kv[len(name)] == '=' && kv[:len(name)] == name {
			return i
		}
	}
	return -1
}

// hostOf returns the authority that the request was sent to.
func hostOf(req *exchange.Request, fallback string) string {
	if req.Host != "" {
		return req.Host
	}
	return fallback
}

// serverOf returns SERVER_NAME and SERVER_PORT: of the authority, else of the address the request came in on.
func serverOf(req *exchange.Request, scheme string) (name, port string) {
	name, port = splitAddr(req.Host)
	if name == "" {
		name, port = splitAddr(req.LocalAddr)
	}
	if name == "" || strings.ContainsAny(name, "/@") { // a unix socket
		name, port = "localhost", ""
	}
	switch {
	case port != "":
	case scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	return name, port
}

// splitAddr splits "host:port"; the port may be missing. An IPv6 address loses its brackets.
func splitAddr(addr string) (host, port string) {
	if host, port, err := net.SplitHostPort(addr); err == nil {
		return host, port
	}
	return strings.Trim(addr, "[]"), ""
}
