package goplugin

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/appserver-go/appserver/internal/fault"
)

// build makes a Build of "key=value" texts: the go version under "go", settings, "mod:path=version", "pkg:path=hash".
func build(texts ...string) *Build {
	b := &Build{GoVersion: "go1.26.8", Modules: map[string]string{}, Settings: map[string]string{"GOARCH": "amd64"}}
	for _, text := range texts {
		key, value, _ := strings.Cut(text, "=")
		if path, ok := strings.CutPrefix(key, "mod:"); ok {
			b.Modules[path] = value
		} else if path, ok := strings.CutPrefix(key, "pkg:"); ok {
			if b.Packages == nil {
				b.Packages = map[string]string{}
			}
			b.Packages[path] = value
		} else if key == "go" {
			b.GoVersion = value
		} else {
			b.Settings[key] = value
		}
	}
	return b
}

func TestCompare(t *testing.T) {
	for _, test := range []struct {
		name        string
		plugin, own *Build
		fits        bool
		want        []string // of error and hint
		not         string
	}{
		{"same", build("pkg:a=1", "pkg:b=2"), build("pkg:a=1", "pkg:c=3"), true, nil, ""},
		{"tags and linker flags may differ", build("pkg:a=1", "-tags=x", "-ldflags=-s"), build("pkg:a=1"), true, nil, ""},
		{"modules may differ where no package does", build("pkg:a=1", "mod:m=v1"), build("pkg:a=1", "mod:m=v2"), true, nil, ""},
		{
			"toolchain", build("go=go1.26.7", "pkg:a=1"), build("pkg:a=2"), false,
			[]string{"go version  have go1.26.7  want go1.26.8", "\n1 package differs: a", "appserver plugin build"},
			"-trimpath",
		},
		{
			"flags", build("pkg:a=1", "-trimpath=true", "-gcflags=all=-N"), build("pkg:a=2", "-tags=t"), false,
			[]string{"\n-trimpath  have true    want false", "\n-gcflags   have all=-N  want none", "\n-tags      have none    want t"},
			"",
		},
		{"race", build("pkg:a=1", "-race=true"), build("pkg:a=2"), false, []string{"-race  have true  want false"}, ""},
		{"architecture", build("pkg:a=1", "GOARCH=arm64"), build("pkg:a=1"), false, []string{"GOARCH  have arm64  want amd64"}, "package"},
		{
			"module", build("pkg:m/x=1", "pkg:n=1", "mod:m=v1.1.0", "mod:n=v3", "pkg:m=1"), build("pkg:m/x=2", "pkg:n=1", "mod:m=v1.0.0", "mod:n=v4", "pkg:m=2"), false,
			[]string{"m  have v1.1.0  want v1.0.0", "2 packages differ: m, m/x", "go get m@v1.0.0 && appserver plugin build"},
			"v4",
		},
		{"own changes", build("pkg:a=1", "mod:m=v1"), build("pkg:a=2", "mod:m=(devel)"), false, []string{"package differs: a"}, "go get"},
		{"no fingerprints", build("mod:m=v1"), build("pkg:a=2", "mod:m=v2", "-trimpath=true"), false, []string{"-trimpath", "go get m@v2"}, "packages"},
		{"no fingerprints, all the same", build("mod:m=v1"), build("mod:m=v1"), true, nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := compare(test.plugin, test.own)
			err := r.Err()
			if r.Fits() != test.fits || (err == nil) != test.fits {
				t.Fatalf("fits: %v; %v", r.Fits(), err)
			}
			if err == nil {
				return
			}
			text := err.Error() + "\n" + fault.Hint(err)
			for _, want := range test.want {
				if !strings.Contains(text, want) {
					t.Errorf("it lacks %q:\n%s", want, text)
				}
			}
			if test.not != "" && strings.Contains(text, test.not) {
				t.Errorf("it speaks of %q:\n%s", test.not, text)
			}
		})
	}
}

func TestReportIsBounded(t *testing.T) {
	var plugin, own []string
	for i := range 1000 {
		plugin = append(plugin, fmt.Sprintf("pkg:p%d=1", i), fmt.Sprintf("mod:p%d=%s", i, strings.Repeat("x", 1000)))
		own = append(own, fmt.Sprintf("pkg:p%d=2", i), fmt.Sprintf("mod:p%d=v1", i))
	}
	text := compare(build(plugin...), build(own...)).Err().Error()
	if len(text) > 4<<10 || !strings.Contains(text, "and 988 more") || !strings.Contains(text, "1000 packages differ: p0, p1, p10, p100, p101, …") {
		t.Errorf("%d bytes: %.2000s", len(text), text)
	}
}

func TestCheckRefusesWhatIsNoPlugin(t *testing.T) {
	own, err := Own()
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		file []byte
		want string
	}{
		{"program", self, "-buildmode=exe and is no Go plugin"},
		{"head of one", self[:100], "no Go plugin"},
		{"text", []byte("a text"), "no Go plugin"},
	} {
		if _, err := Check(test.file, own); err == nil || !strings.Contains(err.Error(), test.want) || fault.Hint(err) == "" {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	if own.GoVersion == "" || len(own.Modules) == 0 || Supported && own.Packages == nil {
		t.Errorf("this program: %+v", own)
	}
}

func FuzzCheck(f *testing.F) {
	f.Add([]byte("\x7fELF\x02\x01\x01\x00"))
	f.Add(append([]byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03\x00\x3e\x00\x01\x00\x00\x00"), make([]byte, 200)...))
	f.Add([]byte("a text"))
	own := build("pkg:a=1")
	f.Fuzz(func(t *testing.T, file []byte) {
		if r, err := Check(file, own); err == nil {
			_ = r.Err()
		}
	})
}
