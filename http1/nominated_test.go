package http1

import (
	"testing"

	"github.com/appserver-go/appserver/exchange"
)

// Fields that Connection names end at this hop, save those that a client must not take away (RFC 9110 §7.6.1).
func TestNominatedFieldsAreStripped(t *testing.T) {
	fields := exchange.Fields{
		{Name: "X-Hop", Value: "1"}, {Name: "Accept", Value: "a"}, {Name: "x-hop", Value: "2"}, {Name: "Content-Length", Value: "0"},
	}
	var o connOptions
	for _, list := range []string{"close, X-Hop", "content-length, keep-alive"} {
		if bad := o.add(list); bad != nil {
			t.Fatal(bad)
		}
	}
	o.strip(&fields)
	if fields.Has("X-Hop") || !fields.Has("Accept") || !fields.Has("Content-Length") || !o.close || !o.keepAlive {
		t.Errorf("options %+v leave %v", o, fields)
	}
}
