package workers

import (
	"encoding/json"
	"testing"

	"github.com/appserver-go/appserver/config"
	"github.com/appserver-go/appserver/internal/credentials"
	"github.com/appserver-go/appserver/internal/link/linktest"
)

// Keys that are no good leave those before in place.
func TestKeysAreReplacedByGoodOnesOnly(t *testing.T) {
	ca := linktest.NewAuthority(t)
	c := &config.Config{CertReqs: "none", TLSMinVersion: "1.2", HTTPProtocols: []string{"h1"}}
	one, two := ca.Issue(t, "one"), ca.Issue(t, "two")
	message := func(cert, key string) []byte {
		data, err := json.Marshal(credentials.Credentials{Certificate: cert, Key: key})
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	var k keys
	if err := k.set(c, message(one.Cert, one.Key)); err != nil {
		t.Fatal(err)
	}
	first := k.current.Load()
	if len(first.NextProtos) != 1 || first.NextProtos[0] != "http/1.1" {
		t.Errorf("%q is offered", first.NextProtos)
	}
	for _, bad := range [][]byte{message(two.Cert, one.Key), []byte("{"), []byte("null")} {
		if err := k.set(c, bad); err == nil || k.current.Load() != first {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
	if err := k.set(c, message(two.Cert, two.Key)); err != nil || k.current.Load() == first {
		t.Errorf("%v", err)
	}
}
