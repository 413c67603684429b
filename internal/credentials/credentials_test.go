package credentials

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/appserver-go/appserver/internal/link/linktest"
)

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f.pem")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadRefusesWhatDoesNotBelongTogether(t *testing.T) {
	ca := linktest.NewAuthority(t)
	one, two := ca.Issue(t, "one"), ca.Issue(t, "two")
	cert, key, other := write(t, one.Cert), write(t, one.Key), write(t, two.Key)
	for name, tt := range map[string]struct {
		files Files
		says  string // nothing for a good one
	}{
		"good":        {Files{cert, key, ""}, ""},
		"one file":    {Files{write(t, one.Cert+one.Key), "", ""}, ""},
		"with CA":     {Files{cert, key, write(t, ca.PEM)}, ""},
		"wrong key":   {Files{cert, other, ""}, "does not match"},
		"swapped":     {Files{key, cert, ""}, "certfile"},
		"no key":      {Files{cert, "", ""}, "keyfile"},
		"empty":       {Files{write(t, ""), key, ""}, "certfile"},
		"cut":         {Files{write(t, one.Cert[:len(one.Cert)/2]), key, ""}, "certfile"},
		"missing":     {Files{filepath.Join(t.TempDir(), "no"), key, ""}, "no such file"},
		"directory":   {Files{t.TempDir(), key, ""}, "not a regular file"},
		"no CA in it": {Files{cert, key, key}, "ca_certs"},
		"huge":        {Files{write(t, strings.Repeat(one.Cert, 200)), key, ""}, "more than"},
	} {
		_, err := Read(tt.files)
		if tt.says == "" && err != nil || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "BEGIN") {
			t.Errorf("%s: the error shows what is in the file: %v", name, err)
		}
	}
}

func TestPolicy(t *testing.T) {
	ca := linktest.NewAuthority(t)
	pair := ca.Issue(t, "one")
	c := &Credentials{Certificate: pair.Cert, Key: pair.Key, ClientCAs: ca.PEM}
	for reqs, want := range map[string]tls.ClientAuthType{
		"none": tls.NoClientCert, "optional": tls.VerifyClientCertIfGiven, "required": tls.RequireAndVerifyClientCert,
	} {
		config, err := c.TLS(Policy{ClientCerts: reqs, MinVersion: "1.2"})
		if err != nil || config.ClientAuth != want || config.MinVersion != tls.VersionTLS12 {
			t.Errorf("%s: %v %v", reqs, config.ClientAuth, err)
		}
	}
	if config, err := c.TLS(Policy{ClientCerts: "none", MinVersion: "1.3"}); err != nil || config.MinVersion != tls.VersionTLS13 {
		t.Errorf("%v", err)
	}
	c.ClientCAs = ""
	if _, err := c.TLS(Policy{ClientCerts: "required"}); err == nil {
		t.Error("clients are checked with nothing")
	}
}

func TestTicketsOutliveChangesButNotTheirAuthorities(t *testing.T) {
	var all []*Credentials
	for i := range 6 {
		c := &Credentials{}
		var before *Credentials
		if i > 0 {
			before = all[i-1]
		}
		c.Rotate(before)
		if want := min(i+1, keptTickets); len(c.Tickets) != want {
			t.Errorf("%d keys after %d changes", len(c.Tickets), i)
		}
		if i > 0 && string(c.Tickets[1]) != string(before.Tickets[0]) {
			t.Error("the key before is lost")
		}
		all = append(all, c)
	}
	other := &Credentials{ClientCAs: "x"}
	other.Rotate(all[5])
	if len(other.Tickets) != 1 {
		t.Error("tickets are taken that other authorities have vouched for")
	}
}

func TestCredentialsPrintNothing(t *testing.T) {
	c := Credentials{Key: "secret"}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if text := fmt.Sprintf(format, c) + fmt.Sprintf(format, &c); strings.Contains(text, "secret") {
			t.Errorf("%s prints %q", format, text)
		}
	}
}
