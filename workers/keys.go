package workers

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"sync/atomic"

	"github.com/appserver-go/appserver/config"
	"github.com/appserver-go/appserver/internal/credentials"
)

// keys are a worker's TLS settings, as the arbiter's latest message made them. Connections keep those they began with.
type keys struct{ current atomic.Pointer[tls.Config] }

// set takes over what the arbiter sent.
func (k *keys) set(c *config.Config, data []byte) error {
	var creds credentials.Credentials
	if err := json.Unmarshal(data, &creds); err != nil {
		return fmt.Errorf("decode TLS keys: %w", err)
	}
	t, err := creds.TLS(credentials.Policy{ClientCerts: c.CertReqs, MinVersion: c.TLSMinVersion, Protocols: alpn(c)})
	if err != nil {
		return fmt.Errorf("use TLS keys: %w", err)
	}
	k.current.Store(t)
	return nil
}

// alpn returns the names of the protocols to offer in a handshake.
func alpn(c *config.Config) []string {
	names := make([]string, 0, len(c.HTTPProtocols))
	for _, p := range c.HTTPProtocols {
		names = append(names, map[string]string{"h1": "http/1.1", "h2": "h2"}[p])
	}
	return names
}
