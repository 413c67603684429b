package config

import (
	"net/netip"
	"slices"
	"strings"
)

func (c *Config) checkTLS() error {
	switch {
	case c.Certfile == "" && c.Keyfile != "":
		return problem("keyfile", "set certfile as well", "a key without a certificate")
	case c.Certfile == "" && c.CertReqs != "none":
		return problem("cert_reqs", "set certfile and keyfile", "clients cannot show certificates without TLS")
	case c.CertReqs != "none" && c.CACerts == "":
		return problem("cert_reqs", "set ca_certs to the certificates of those who sign them", "there is nothing to check clients' certificates with")
	case c.CACerts != "" && c.CertReqs == "none":
		return problem("ca_certs", "set cert_reqs to optional or required", "clients are not asked for certificates")
	}
	if len(c.HTTPProtocols) == 0 {
		return problem("http_protocols", "h2,h1 is the default", "no protocol is left")
	}
	for i, p := range c.HTTPProtocols {
		if p != "h1" && p != "h2" {
			return problem("http_protocols", "h2,h1 is the default", "%q is neither h1 nor h2", clip(p))
		}
		if slices.Contains(c.HTTPProtocols[:i], p) {
			return problem("http_protocols", "keep one of them", "%s is given twice", p)
		}
	}
	return nil
}

func (c *Config) checkTrust() error {
	for _, list := range []struct {
		key   string
		peers []string
	}{{"forwarded_allow_ips", c.ForwardedAllowIPs}, {"proxy_allow_ips", c.ProxyAllowIPs}} {
		for _, peer := range list.peers {
			if !validPeer(peer) {
				return problem(list.key, "write addresses, networks like 10.0.0.0/8, or *", "%q is neither an address nor a network", clip(peer))
			}
		}
	}
	for _, pair := range c.SecureSchemeHeaders {
		if name, value, ok := strings.Cut(pair, "="); !ok || !fieldName(name) || value == "" {
			return problem("secure_scheme_headers", "write them like X-Forwarded-Proto=https", "%q is not a field and its value", clip(pair))
		}
	}
	for _, field := range []struct{ key, name string }{{"real_ip_header", c.RealIPHeader}, {"real_host_header", c.RealHostHeader}} {
		if field.name != "" && !fieldName(field.name) {
			return problem(field.key, "write it like X-Forwarded-For", "%q is not the name of a field that can be seen", clip(field.name))
		}
	}
	return nil
}

func validPeer(peer string) bool {
	if peer == "*" {
		return true
	}
	if _, err := netip.ParsePrefix(peer); err == nil {
		return true
	}
	addr, err := netip.ParseAddr(peer)
	return err == nil && addr.Zone() == ""
}

// fieldName reports whether a text can be the name of a request's field that reaches the server's inside. Names with an
// underscore do not.
func fieldName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^`|~", c) >= 0) {
			return false
		}
	}
	return name != ""
}
