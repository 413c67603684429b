package config

import (
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// checkRequestIDHeader wants a token (RFC 9110 §5.6.2) that means nothing else.
func (c *Config) checkRequestIDHeader() error {
	const key, hint = "request_id_header", "X-Request-Id is the usual name"
	name := c.RequestIDHeader
	for i := range len(name) {
		if b := name[i]; b <= ' ' || b > '~' || strings.IndexByte(`"(),/:;<=>?@[\]{}`, b) >= 0 {
			return problem(key, hint, "%q is no name of a header field", clip(name))
		}
	}
	taken := []string{
		"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "content-length", "content-type", "host", "date",
		"server", "expect", "cookie", "set-cookie", "authorization", "location", "traceparent", "tracestate",
	}
	if slices.Contains(taken, strings.ToLower(name)) {
		return problem(key, hint, "the field %s means something else", clip(name))
	}
	return nil
}

func (c *Config) checkStatsd() error {
	const hint = "write it like 127.0.0.1:8125, or unix:///run/statsd.sock"
	if path, ok := strings.CutPrefix(c.StatsdHost, "unix://"); ok && path == "" {
		return problem("statsd_host", hint, "%q names no socket", clip(c.StatsdHost))
	} else if !ok && c.StatsdHost != "" {
		host, port, err := net.SplitHostPort(c.StatsdHost)
		n, numErr := strconv.ParseUint(port, 10, 16)
		if err != nil || host == "" || numErr != nil || n == 0 {
			return problem("statsd_host", hint, "%q is not an address", clip(c.StatsdHost))
		}
	}
	// What a line is made of (statsd's and Datadog's protocol) must not be in its parts.
	for key, text := range map[string]string{"statsd_prefix": c.StatsdPrefix, "dogstatsd_tags": c.DogstatsdTags} {
		bad := strings.IndexFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || r == '|' || r == '@' || r == '#' })
		if bad >= 0 || key == "statsd_prefix" && strings.Contains(text, ":") {
			return problem(key, "leave out blanks and the characters | @ #, and in the prefix the colon", "%q would break the lines of statsd", clip(text))
		}
	}
	return nil
}

func (c *Config) checkOTel() error {
	if c.OTelEndpoint == "" {
		return nil
	}
	const hint = "write it like http://127.0.0.1:4318"
	u, err := url.Parse(c.OTelEndpoint)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return problem("otel_endpoint", hint, "%q is no http or https URL", clip(c.OTelEndpoint))
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return problem("otel_endpoint", hint, "%q has more than a path", clip(c.OTelEndpoint))
	case c.OTelServiceName == "":
		return problem("otel_service_name", "appserver is the default", "spans need the name of a service")
	}
	return nil
}
