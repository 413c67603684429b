// Package credentials is what a TLS server must know and nobody else may: certificate, private key and the keys of
// session tickets, beside the authorities of client certificates. cmd/appserver reads them, with the rights of whoever
// started the server, and has the arbiter hand them on; workers make their TLS settings of them and read no file.
package credentials

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/appserver-go/appserver/internal/fault"
)

// Credentials travel as JSON. They are not to be logged.
type Credentials struct {
	// Certificate is a chain in PEM, the server's own certificate first, and Key its private key.
	Certificate string `json:"certificate"`
	Key         string `json:"key"`
	// ClientCAs are the authorities whose certificates clients may have, in PEM; empty where none are asked for.
	ClientCAs string `json:"client_cas,omitempty"`
	// Tickets are the keys of session tickets. Tickets are made with the first and taken with any, so that a client
	// resumes its session with any worker, after a change of keys too.
	Tickets [][]byte `json:"tickets,omitempty"`
}

// Policy is the settings that go with credentials.
type Policy struct {
	// ClientCerts is "none", "optional" or "required": whether clients must show a certificate.
	ClientCerts string
	// MinVersion is "1.2" or "1.3".
	MinVersion string
	// Protocols are the ALPN names to offer, the preferred first.
	Protocols []string
}

// ticketSize is the size of a key in bytes, as crypto/tls wants it; keptTickets is how many are kept.
const (
	ticketSize  = 32
	keptTickets = 3
)

// Rotate makes a new first ticket key and keeps some of before, whose tickets are then still taken.
func (c *Credentials) Rotate(before *Credentials) {
	key := make([]byte, ticketSize)
	rand.Read(key) // never fails
	c.Tickets = [][]byte{key}
	// A ticket vouches for the client's certificate, so none of them outlives its authorities.
	if before != nil && before.ClientCAs == c.ClientCAs {
		c.Tickets = append(c.Tickets, before.Tickets[:min(len(before.Tickets), keptTickets-1)]...)
	}
}

// TLS makes the settings of a server. They are complete and are not changed any more.
func (c *Credentials) TLS(p Policy) (*tls.Config, error) {
	pair, err := tls.X509KeyPair([]byte(c.Certificate), []byte(c.Key))
	if err != nil {
		return nil, err
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: slices.Clone(p.Protocols)}
	if p.MinVersion == "1.3" {
		config.MinVersion = tls.VersionTLS13
	}
	switch p.ClientCerts {
	case "optional":
		config.ClientAuth = tls.VerifyClientCertIfGiven
	case "required":
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	if config.ClientAuth != tls.NoClientCert {
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM([]byte(c.ClientCAs)) {
			return nil, errors.New("no certificate of an authority")
		}
	}
	if len(c.Tickets) > 0 {
		keys := make([][ticketSize]byte, len(c.Tickets))
		for i, t := range c.Tickets {
			if copy(keys[i][:], t) != ticketSize {
				return nil, errors.New("a ticket key is too short")
			}
		}
		config.SetSessionTicketKeys(keys)
	}
	return config, nil
}

// Leaf returns the server's own certificate.
func (c *Credentials) Leaf() (*x509.Certificate, error) {
	pair, err := tls.X509KeyPair([]byte(c.Certificate), []byte(c.Key))
	if err != nil {
		return nil, err
	}
	return pair.Leaf, nil
}

// Names returns whom a certificate is for, for logs.
func Names(leaf *x509.Certificate) []string {
	names := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		names = append(names, leaf.Subject.String())
	}
	return names
}

// check reports, as a fault that names the files, what of the credentials is no use.
func (c *Credentials) check(f Files) error {
	if _, err := tls.X509KeyPair([]byte(c.Certificate), []byte(c.Key)); err != nil {
		hint := "the files hold PEM: a certificate with its chain, and its key without a password"
		if strings.Contains(err.Error(), "does not match") {
			hint = "they belong together; is one of them newer than the other?"
		}
		return fault.New(hint, "certfile %s and keyfile %s: %s", f.Certificate, f.Key, strings.TrimPrefix(err.Error(), "tls: "))
	}
	if f.ClientCAs != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(c.ClientCAs)) {
		return fault.New("it holds PEM: the certificates of those who sign your clients'", "ca_certs %s: no certificate found", f.ClientCAs)
	}
	if n := len(c.Certificate) + len(c.Key) + len(c.ClientCAs); n > maxSize {
		return fault.New("name the few authorities that you mean", "certfile, keyfile and ca_certs: %d bytes together, more than %d", n, maxSize)
	}
	return nil
}

// maxSize bounds credentials so that they fit a message to a worker.
const maxSize = 64 << 10

var _ fmt.Formatter = Credentials{}

// Format implements fmt.Formatter: whatever prints credentials by mistake prints none.
func (Credentials) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte("credentials")) }
