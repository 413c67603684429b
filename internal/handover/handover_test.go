package handover

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/appserver-go/appserver/internal/fault"
	"github.com/appserver-go/appserver/sockets"
)

// helperEnv makes this test binary a new arbiter that prints what it has inherited.
const helperEnv = "HANDOVER_TEST_HEIR"

func TestMain(m *testing.M) {
	if os.Getenv(helperEnv) == "" {
		os.Exit(m.Run())
	}
	h, rest, err := Inherit(os.Environ())
	if slices.ContainsFunc(rest, func(entry string) bool { return strings.HasPrefix(entry, Variable+"=") }) {
		fmt.Println("the variable is left over")
	}
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	fmt.Printf("will: %+v\n", h.Will)
	h.Fail(fault.WithCode(fault.LoadFailed, "mend it", "no guest"))
}

// inherit runs the helper with a first message.
func inherit(t *testing.T, first []byte) (out string, said []Message) {
	t.Helper()
	c, theirs, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if first == nil {
		c.Finish()
		c.Close()
	} else if err := c.c.TrySendPacket(first); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperEnv+"=1", Variable+"=3")
	cmd.ExtraFiles = []*os.File{theirs}
	data, _ := cmd.CombinedOutput() // its exit code is that of the error it prints
	theirs.Close()
	for {
		m, err := c.Hear()
		if err != nil {
			return string(data), said
		}
		said = append(said, m)
	}
}

func TestInherit(t *testing.T) {
	will := Will{Version: Version, PID: 42, Workers: 3, Configured: 2, Sockets: []sockets.Bequest{{Given: "a:1", Addr: "10.0.0.1:1", Count: 2}}}
	first, err := json.Marshal(Message{Type: TypeWill, Will: &will})
	if err != nil {
		t.Fatal(err)
	}
	out, said := inherit(t, first)
	if want := fmt.Sprintf("will: %+v\n", will); out != want {
		t.Errorf("inherited %q, want %q", out, want)
	}
	want := []Message{{Type: TypeFailed, Failed: &Failed{Message: "no guest", Hint: "mend it", Code: fault.LoadFailed}}}
	if !reflect.DeepEqual(said, want) {
		t.Errorf("said %+v, want %+v", said, want)
	}
}

// An heir of another time says why it cannot take over, to the old arbiter too.
func TestInheritRefuses(t *testing.T) {
	for name, test := range map[string]struct{ first, want string }{
		"another version": {`{"type":"will","will":{"version":99,"pid":1,"sockets":[],"new":true}}`, "version 99"},
		"another message": {`{"type":"ready"}`, `begins with "ready"`},
		"nonsense":        {`{"type":`, "unexpected end"},
	} {
		t.Run(name, func(t *testing.T) {
			out, said := inherit(t, []byte(test.first))
			if !strings.Contains(out, "error: ") || !strings.Contains(out, test.want) {
				t.Errorf("printed %q, want %q", out, test.want)
			}
			if len(said) != 1 || said[0].Type != TypeFailed || !strings.Contains(said[0].Failed.Message, test.want) {
				t.Errorf("said %+v", said)
			}
		})
	}
	if out, _ := inherit(t, nil); !strings.Contains(out, "error: "+Variable) {
		t.Errorf("an arbiter that is gone: %q", out)
	}
}

func TestNothingInherited(t *testing.T) {
	environ := []string{"A=1", "B=2"}
	h, rest, err := Inherit(environ)
	if h != nil || err != nil || !slices.Equal(rest, environ) {
		t.Errorf("%v, %v, %v", h, rest, err)
	}
	h.Fail(errors.New("nobody hears it"))
	if _, _, err := Inherit([]string{Variable + "=17"}); err == nil || fault.Hint(err) == "" {
		t.Errorf("another descriptor: %v", err)
	}
}

func TestConversation(t *testing.T) {
	a, theirs, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := a.Say(Message{Type: TypeServe}); err != nil {
		t.Fatal(err)
	}
	if err := a.Say(Message{Type: TypeWill, Will: &Will{Sockets: []sockets.Bequest{{Given: strings.Repeat("x", 1<<20)}}}}); err == nil {
		t.Error("a message that no packet can hold was sent")
	}
	a.Finish()
	if m, err := a.Hear(); err == nil {
		t.Errorf("heard %+v after Finish", m)
	}
	theirs.Close()
	if err := a.Say(Message{Type: TypeServe}); err == nil {
		t.Error("nobody is there to hear it")
	}
}

// What one arbiter says, another of any version can read or refuse, and what it accepts has its member.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"type":"will","will":{"version":1,"pid":7,"sockets":[{"given":":8000","addr":"0.0.0.0:8000","count":1}]}}`,
		`{"type":"opened","opened":{"kept":[0,1]}}`, `{"type":"ready"}`, `{"type":"failed","failed":{"message":"x","code":4}}`,
		`{"type":"serve"}`, `{"type":"later","later":{}}`, `{"type":"failed"}`, `{}`, `[]`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := decode(data)
		if err != nil {
			return
		}
		if m.Type == "" || m.Type == TypeWill && m.Will == nil || m.Type == TypeFailed && m.Failed == nil || m.Type == TypeOpened && m.Opened == nil {
			t.Fatalf("accepted %+v", m)
		}
		again, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := decode(again); err != nil || !reflect.DeepEqual(back, m) {
			t.Fatalf("%s became %+v, %v", again, back, err)
		}
	})
}
