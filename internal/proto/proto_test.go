package proto

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

// samples holds one message of each type.
func samples() []Message {
	return []Message{
		{Type: TypeHello, Hello: &Hello{Magic: Magic, Version: Version}},
		{Type: TypeStart, Start: &Start{Config: json.RawMessage(`{"workers":2}`), Generation: 1, Age: 1, Check: true}},
		{Type: TypeSecrets, Secrets: &Secrets{Data: json.RawMessage(`{"key":"x"}`)}},
		{Type: TypeStage, Stage: &Stage{Stage: "compiling"}},
		{Type: TypeShare, Share: &Share{Name: "image"}},
		{Type: TypeReady, Ready: &Ready{Guest: []Fact{{Key: "protocol", Value: "http-wasm"}}}},
		{Type: TypeReady, Ready: &Ready{}},
		{Type: TypeFailed, Failed: &Failed{Stage: "loading", Message: "no such file", Hint: "check the path", Code: 4}},
		{Type: TypeReopen},
		{Type: TypeAccept, Accept: &Accept{Listeners: []int{0, 2}}},
		{Type: TypeRetire, Retire: &Retire{Reason: "max_requests"}},
		{Type: TypeDrain, Drain: &Drain{Grace: 30 * time.Second, Final: true}},
		{Type: TypeClosed},
	}
}

func TestEncodeDecode(t *testing.T) {
	for _, m := range samples() {
		b, err := Encode(m)
		if err != nil {
			t.Errorf("encode %s: %v", m.Type, err)
			continue
		}
		got, err := Decode(b)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%s came back as %+v, %v", b, got, err)
		}
	}
}

var malformed = []string{
	``, `null`, `{}`, `[]`, `"hello"`, `garbage`, "\x00", `{"type":"hello"`, `{"type":"closed"}{"type":"closed"}`,
	`{"type":""}`, `{"type":"unknown"}`, `{"type":"HELLO","hello":{}}`, `{"type":1}`,
	`{"type":"hello"}`, `{"type":"hello","hello":null}`, `{"type":"hello","start":{}}`, `{"type":"hello","hello":[]}`,
	`{"type":"hello","hello":{},"drain":{}}`, `{"type":"closed","drain":{}}`, `{"type":"reopen","hello":{}}`,
	`{"type":"share","share":{}}`, `{"type":"share","share":{"name":"../x"}}`, `{"type":"share","share":{"name":"abcdefghijklmnopq"}}`,
	`{"type":"start","start":{"slot":"x"}}`, `{"type":"drain","drain":{"grace":1e99}}`,
}

func TestDecodeRefuses(t *testing.T) {
	for _, packet := range malformed {
		if m, err := Decode([]byte(packet)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q became %+v, %v; want ErrMalformed", packet, m, err)
		}
	}
	long := `{"type":"closed"` + strings.Repeat(" ", MaxMessage) + `}`
	if _, err := Decode([]byte(long)); !errors.Is(err, ErrMalformed) {
		t.Errorf("a packet of %d bytes: %v, want ErrMalformed", len(long), err)
	}
}

func TestDecodeQuotesTheUnknownType(t *testing.T) {
	_, err := Decode([]byte(`{"type":"` + strings.Repeat(`\n`, 1000) + `"}`))
	if err == nil || strings.Contains(err.Error(), "\n") || len(err.Error()) > 200 {
		t.Errorf("a hostile type gives the error %q", err)
	}
}

func TestEncodeRefusesWhatDecodeWould(t *testing.T) {
	for _, m := range []Message{
		{},
		{Type: "unknown"},
		{Type: TypeDrain},
		{Type: TypeHello, Drain: &Drain{}},
		{Type: TypeClosed, Ready: &Ready{}},
		{Type: TypeStart, Start: &Start{Config: json.RawMessage(`{`)}},
	} {
		if b, err := Encode(m); err == nil {
			t.Errorf("%+v was encoded as %s", m, b)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, m := range samples() {
		b, err := Encode(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, packet := range malformed {
		f.Add([]byte(packet))
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		m, err := Decode(packet)
		if err != nil {
			if !errors.Is(err, ErrMalformed) || !reflect.DeepEqual(m, Message{}) {
				t.Fatalf("refused with %v and %+v", err, m)
			}
			return
		}
		// What was accepted can be sent on, and arrives as it was.
		first, err := Encode(m)
		if err != nil {
			if len(packet) < MaxMessage/8 { // escaping makes a message at most six times longer
				t.Fatalf("encode what was decoded: %v", err)
			}
			return
		}
		again, err := Decode(first)
		if err != nil {
			t.Fatalf("decode what was encoded: %v", err)
		}
		second, err := Encode(again)
		if err != nil || !bytes.Equal(first, second) {
			t.Fatalf("%s came back as %s, %v", first, second, err)
		}
	})
}
