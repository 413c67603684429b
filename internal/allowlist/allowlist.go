// Package allowlist says which URLs a guest may call: a list of origins with a path each, as operators write it, and the
// strict reading of URLs that it takes to compare them. It opens no connection; config checks the list with it, and
// host/boundary what guests ask for.
package allowlist

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/appserver-go/appserver/internal/fault"
)

// MaxURL is the length of the longest URL in bytes.
const MaxURL = 8 << 10

// Target is a URL that was read strictly: there is one way to understand it.
type Target struct {
	// Scheme is "http" or "https".
	Scheme string
	// Host is a lower-case name, or an address in its usual form, without brackets.
	Host string
	// Port is always set.
	Port uint16
	// Path begins with a slash and is escaped as it came. It has no segment that leads upwards.
	Path string
	// Query is what follows the question mark, as it came; HasQuery tells an empty one from none.
	Query    string
	HasQuery bool
}

// ParseTarget reads a URL. It refuses what two parsers could understand in two ways: user names, fragments, characters
// that are not ASCII, numbers that some resolvers take for addresses, and path segments "." and "..", however they are
// written. Errors are for people, in one line.
func ParseTarget(raw string) (Target, error) {
	if len(raw) > MaxURL {
		return Target{}, fmt.Errorf("the URL is longer than %d bytes", MaxURL)
	}
	for i := range len(raw) {
		if raw[i] <= ' ' || raw[i] > '~' || raw[i] == '\\' {
			return Target{}, errors.New("the URL holds a character that has to be escaped")
		}
	}
	u, err := url.Parse(raw)
	if err != nil {
		var why *url.Error
		if errors.As(err, &why) {
			err = why.Err // without the URL, which may hold a password
		}
		return Target{}, fmt.Errorf("it is not a URL: %w", err)
	}
	t := Target{Scheme: u.Scheme, Path: u.EscapedPath(), Query: u.RawQuery, HasQuery: u.RawQuery != "" || u.ForceQuery}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return Target{}, errors.New("the URL has neither the scheme http nor https")
	case u.User != nil:
		return Target{}, errors.New("the URL holds a user name")
	case strings.Contains(raw, "#"):
		return Target{}, errors.New("the URL has a fragment")
	}
	if err := t.setHost(u); err != nil {
		return Target{}, err
	}
	if t.Path == "" {
		t.Path = "/"
	}
	return t, checkPath(t.Path, u.Path)
}

// setHost reads host and port.
func (t *Target) setHost(u *url.URL) error {
	host := u.Hostname()
	addr, err := netip.ParseAddr(host)
	switch {
	case host == "":
		return errors.New("the URL names no host")
	case err == nil && addr.Zone() != "":
		return errors.New("the address has a zone")
	case err == nil:
		t.Host = addr.Unmap().String()
	default:
		if t.Host = strings.ToLower(host); !validName(t.Host) {
			return fmt.Errorf("%.100q is not the name of a host", host)
		}
	}
	if t.Port = 80; t.Scheme == "https" {
		t.Port = 443
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return fmt.Errorf("%.20q is not a port", port)
		}
		t.Port = uint16(n)
	}
	return nil
}

// validName reports whether a lower-case text is the name of a host, and nothing that a resolver could take for an
// address: those are names whose last label begins with a digit.
func validName(host string) bool {
	if len(host) > 253 {
		return false
	}
	last := ""
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
		last = label
	}
	return last[0] < '0' || last[0] > '9'
}

// checkPath refuses paths that servers shorten.
func checkPath(escaped, path string) error {
	if escaped[0] != '/' {
		return errors.New("the path does not begin with a slash")
	}
	for segment := range strings.FieldsFuncSeq(path, func(r rune) bool { return r == '/' || r == '\\' }) {
		if segment, _, _ = strings.Cut(segment, ";"); segment == "." || segment == ".." {
			return errors.New(`the path has a segment "." or ".."`)
		}
	}
	return nil
}

// Origin returns scheme, host and port as people write them.
func (t Target) Origin() string { return t.Scheme + "://" + t.Authority() }

// Authority returns the host and, where it is not the scheme's own, the port.
func (t Target) Authority() string {
	host := t.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if t.Port == 80 && t.Scheme == "http" || t.Port == 443 && t.Scheme == "https" {
		return host
	}
	return host + ":" + strconv.Itoa(int(t.Port))
}

// String returns the URL.
func (t Target) String() string {
	s := t.Origin() + t.Path
	if t.HasQuery {
		s += "?" + t.Query
	}
	return s
}

// Literal reports whether the host says by itself which machine is meant: an address, or localhost.
func (t Target) Literal() bool {
	_, err := netip.ParseAddr(t.Host)
	return err == nil || t.Host == "localhost"
}

// List is what may be called. Nil allows nothing. It is safe for concurrent use.
type List struct{ rules []rule }

// rule is an item of a list.
type rule struct {
	Target
	below bool // any name that ends in "." and the host
}

// hint is what to write instead of an item that is none.
const hint = "write it like https://api.example.com, https://*.example.com or http://127.0.0.1:9000/v1/"

// Parse reads a list. Each item is a URL without a query: scheme, host and port must be the same as those of a URL for it
// to be allowed, and its path must begin with that of the item, where segments end. "*." before the name stands for any
// number of labels, at least one. Errors are a *fault.Error.
func Parse(items []string) (*List, error) {
	l := &List{}
	for _, item := range items {
		r, err := parseRule(item)
		if err != nil {
			if at := strings.LastIndex(item, "@"); at >= 0 {
				item = "…" + item[at:] // errors must not tell a password
			}
			return nil, fault.New(hint, "%.200q: %w", item, err)
		}
		l.rules = append(l.rules, r)
	}
	return l, nil
}

func parseRule(item string) (r rule, err error) {
	if scheme, rest, ok := strings.Cut(item, "://*."); ok {
		item, r.below = scheme+"://"+rest, true
	}
	if r.Target, err = ParseTarget(item); err != nil {
		return rule{}, err
	}
	switch {
	case r.HasQuery:
		return rule{}, errors.New("it has a query")
	case r.below && r.Literal():
		return rule{}, errors.New("only names can follow the star")
	}
	return r, nil
}

// Allows reports whether a URL may be called.
func (l *List) Allows(t Target) bool {
	if l == nil {
		return false
	}
	for _, r := range l.rules {
		if r.Scheme == t.Scheme && r.Port == t.Port && r.coversHost(t.Host) && r.coversPath(t.Path) {
			return true
		}
	}
	return false
}

func (r *rule) coversHost(host string) bool {
	if r.below {
		return strings.HasSuffix(host, "."+r.Host)
	}
	return host == r.Host
}

// coversPath compares paths as they are written: one that is escaped where it need not be is not allowed.
func (r *rule) coversPath(path string) bool {
	rest, ok := strings.CutPrefix(path, r.Path)
	return ok && (rest == "" || strings.HasSuffix(r.Path, "/") || rest[0] == '/')
}
