package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/appserver-go/appserver/config"
	"github.com/appserver-go/appserver/internal/fault"
)

// loadArgs loads a configuration as a command would, in the current directory.
func loadArgs(environ []string, argv ...string) (*Loaded, error) {
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	bindFlags(fs)
	if err := fs.Parse(argv); err != nil {
		return nil, err
	}
	return loadConfig(fs, environ, fs.Args())
}

// TestLoadConfig runs testdata/config/*.txtar: files, variables (env, "|" for a line break) and arguments (args), and
// what becomes of them: the values and sources that want lists, or an error, its hint and its exit code (1 without one).
func TestLoadConfig(t *testing.T) {
	dir, err := filepath.Abs(filepath.Join("testdata", "config"))
	if err != nil {
		t.Fatal(err)
	}
	scripts, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, script := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(script), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(script)
			if err != nil {
				t.Fatal(err)
			}
			t.Chdir(t.TempDir())
			runLoadScript(t, archive)
		})
	}
}

func runLoadScript(t *testing.T, archive *txtar.Archive) {
	t.Helper()
	parts := map[string]string{}
	for _, f := range archive.Files {
		parts[f.Name] = strings.TrimSuffix(string(f.Data), "\n")
		if !strings.ContainsAny(f.Name, "./") {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(f.Name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f.Name, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var environ, argv []string
	for line := range strings.Lines(parts["env"]) {
		environ = append(environ, strings.ReplaceAll(strings.TrimSuffix(line, "\n"), "|", "\n"))
	}
	for line := range strings.Lines(parts["args"]) {
		argv = append(argv, strings.TrimSuffix(line, "\n"))
	}
	l, err := loadArgs(environ, argv...)
	if want, ok := parts["error"]; ok {
		code := max(fault.Failed, number(parts["code"]))
		if err == nil || err.Error() != want || fault.Hint(err) != parts["hint"] || fault.Code(err) != code {
			t.Errorf("got  %v\nhint %s\ncode %d\nwant %s\nhint %s\ncode %d", err, fault.Hint(err), fault.Code(err), want, parts["hint"], code)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(parts["want"]) {
		line = strings.TrimSuffix(line, "\n")
		key, _, _ := strings.Cut(line, " ")
		s, ok := config.Lookup(key)
		if !ok {
			t.Fatalf("want names no setting: %s", line)
		}
		if got := fmt.Sprintf("%s = %s # %s", key, s.TOML(&l.Config), l.Sources[key]); got != line {
			t.Errorf("got  %s\nwant %s", got, line)
		}
	}
	if parts["want"] == "" {
		t.Error("the script wants nothing")
	}
}

func number(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// write puts a file into an empty current directory.
func write(t *testing.T, name, text string) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestPrintLoadsBack(t *testing.T) {
	t.Chdir(t.TempDir())
	want, err := loadArgs(
		[]string{"APPSERVER_GUEST_ENV=A=x, # \"y\"\\\nB=é\x7f\u2028\U000e0001", "PORT=99"},
		"--threads=4", "--timeout=1.5", "--umask=27", "--guest-config=two\nlines\r\t", "--limit-request-body=0", "--guest-args=", "app \"1\".wasm")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := printConfig(&out, want); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "\ntimeout = \"1.5s\" # flag --timeout\n") || !strings.HasPrefix(out.String(), "# configuration file: none\n") {
		t.Errorf("printed:\n%s", &out)
	}
	write(t, "appserver.toml", out.String())
	got, err := loadArgs(nil)
	if err != nil {
		t.Fatalf("%v in\n%s", err, &out)
	}
	if !reflect.DeepEqual(got.Config, want.Config) {
		t.Errorf("loaded back\n%+v, want\n%+v", got.Config, want.Config)
	}
	if got.File != "appserver.toml" {
		t.Errorf("the file is %q", got.File)
	}
}

// uncommented takes the comment sign off every setting of a sample file.
func uncommented(sample string) string {
	var b strings.Builder
	for line := range strings.Lines(sample) {
		if rest, ok := strings.CutPrefix(line, "#"); ok && !strings.HasPrefix(rest, " ") {
			line = rest
		}
		b.WriteString(line)
	}
	return b.String()
}

func TestSampleIsTheDefaults(t *testing.T) {
	for name, text := range map[string]string{"commented": config.Sample(), "uncommented": uncommented(config.Sample())} {
		write(t, "appserver.toml", text)
		got, err := loadArgs(nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if want := name == "uncommented"; (len(got.Config.Middleware) == 1) != want || (len(got.Config.Route) == 1) != want {
			t.Errorf("%s: %d middlewares and %d routes", name, len(got.Config.Middleware), len(got.Config.Route))
		}
		got.Config.Middleware, got.Config.Route = nil, nil // examples, which have no defaults
		if !reflect.DeepEqual(got.Config, config.Default()) {
			t.Errorf("%s: got\n%+v, want\n%+v", name, got.Config, config.Default())
		}
		for key, source := range got.Sources {
			if fromFile := source.Kind == config.FromFile; fromFile != (name == "uncommented") {
				t.Errorf("%s: %s is from %s", name, key, source)
			}
		}
	}
}

// valuesOf are values of settings that do not take what others of their kind do, and companions settings that others make
// no sense without.
var (
	valuesOf = map[string]string{
		"worker_class": "threaded", "min_ready": "2", "upstream": "http://h", "root_path": "/api", "statsd_host": "localhost:8125",
		"otel_endpoint": "http://localhost:4318", "guest.outbound": "https://api.example.org", "http_protocols": "h2", "secure_scheme_headers": "X-Scheme=https",
	}
	tlsFiles   = []string{"APPSERVER_CERTFILE=c.pem", "APPSERVER_KEYFILE=k.pem"}
	companions = map[string][]string{
		"certfile": tlsFiles, "keyfile": tlsFiles, "cert_reqs": append(tlsFiles, "APPSERVER_CA_CERTS=ca.pem"),
		"ca_certs": append(tlsFiles, "APPSERVER_CERT_REQS=required"),
	}
)

// TestEverySettingFromEverySource gives each setting a value in each place and looks where it arrives.
func TestEverySettingFromEverySource(t *testing.T) {
	values := map[config.Kind]string{
		config.String: "text", config.Int: "129", config.Duration: "7s", config.Bytes: "200MiB", config.Mode: "0640", config.Bool: "true",
		config.List: "10.1.2.3", config.Repeated: "/a:/b=c", config.Ratio: "0.5",
	}
	for _, s := range config.Settings() {
		text := values[s.Kind]
		if s.Kind == config.Enum {
			text = s.Values[len(s.Values)-1]
		}
		if special, ok := valuesOf[s.Key]; ok {
			text = special
		}
		table, leaf, nested := strings.Cut(s.Key, ".")
		file := fmt.Sprintf("%s = %q\n", s.Key, text)
		if nested {
			file = fmt.Sprintf("[%s]\n%s = %q\n", table, leaf, text)
		}
		more := slices.DeleteFunc(slices.Clone(companions[s.Key]), func(kv string) bool { return strings.HasPrefix(kv, s.EnvName()+"=") })
		flag := []string{"--" + s.Flag() + "=" + text}
		if s.Argument {
			flag = []string{text}
		}
		for kind, try := range map[config.SourceKind]func() (*Loaded, error){
			config.FromFlag: func() (*Loaded, error) { return loadArgs(more, flag...) },
			config.FromEnv: func() (*Loaded, error) {
				return loadArgs(append(more, s.EnvName()+"="+text))
			},
			config.FromFile: func() (*Loaded, error) {
				write(t, "appserver.toml", file)
				return loadArgs(more)
			},
		} {
			t.Chdir(t.TempDir())
			got, err := try()
			if err != nil {
				t.Errorf("%s from source %d: %v", s.Key, kind, err)
				continue
			}
			value := fmt.Sprint(s.Get(&got.Config))
			if strings.Trim(value, "[]") != text {
				t.Errorf("%s from source %d is %s, want %s", s.Key, kind, value, text)
			}
			if from := got.Sources[s.Key].Kind; from != kind && !(s.Argument && from == config.FromArgument) {
				t.Errorf("%s from source %d is said to be from %d", s.Key, kind, from)
			}
		}
	}
}

func TestConfigFileLimits(t *testing.T) {
	write(t, "appserver.toml", strings.Repeat("# comment\n", maxConfigFile/10+1))
	if _, err := loadArgs(nil); err == nil || !strings.Contains(err.Error(), "larger than 1 MiB") {
		t.Errorf("a large file: %v", err)
	}
	if _, err := loadArgs(nil, "-c", os.DevNull+".toml"); err == nil {
		t.Error("a file that is not there loads")
	}
	if _, err := loadArgs(nil, "-c", ""); err != nil {
		t.Errorf("an empty name does not mean no file: %v", err)
	}
}

func TestHelpSections(t *testing.T) {
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	bindFlags(fs)
	fs.Bool("check", false, "only check")
	fs.Bool("secret", false, "not shown")
	if err := fs.MarkHidden("secret"); err != nil {
		t.Fatal(err)
	}
	help := helpSections(fs)
	at := []int{strings.Index(help, "Flags:\n")}
	for _, section := range config.Sections() {
		at = append(at, strings.Index(help, "\n\n"+string(section)+":\n"))
	}
	if at[0] != 0 || slices.Contains(at, -1) || !slices.IsSorted(at) {
		t.Errorf("the sections are at %v in\n%s", at, help)
	}
	for _, want := range []string{
		"  -b, --bind list ", "  -c, --config file ", "--check[=true|false] ", "(default 127.0.0.1:8000)", "--guest-memory-limit size ", "(default 128MiB)",
	} {
		if !strings.Contains(help, want) {
			t.Errorf("the help lacks %q:\n%s", want, help)
		}
	}
	for _, s := range config.Settings() {
		if got := strings.Count(help, "--"+s.Flag()+" "); !s.Argument && got != 1 {
			t.Errorf("--%s is there %d times", s.Flag(), got)
		}
	}
	if strings.Contains(help, "secret") {
		t.Error("a hidden flag is shown")
	}
}

func TestCommandHelp(t *testing.T) {
	cmd := &cobra.Command{
		Use: "serve [flags] app.wasm", Short: "Serve", SilenceErrors: true, SilenceUsage: true,
		RunE: func(*cobra.Command, []string) error { return nil },
	}
	bindFlags(cmd.Flags())
	setSectionHelp(cmd)
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"--help"})
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Serve\n", "Usage:\n  serve [flags] app.wasm\n", "\nFlags:\n", "-h, --help", "\nWorkers:\n", "--worker-class"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the help lacks %q:\n%s", want, &out)
		}
	}
	for flag, want := range map[string]string{"--wokers=3": "workers", "--zebra": "", "--worker_class=x": "worker-class", "-Z": ""} {
		cmd.SetArgs([]string{flag})
		if err := cmd.Execute(); err == nil || nearestFlag(cmd, err.Error()) != want {
			t.Errorf("%s: %v, nearest %q, want %q", flag, err, nearestFlag(cmd, err.Error()), want)
		}
	}
}

func FuzzReadConfigFile(f *testing.F) {
	f.Add("toml", "workers = 3\n[guest]\nenv = ['A=1']\n")
	f.Add("yaml", "workers: 3\nguest: {env: [A=1]}\n1: 2\n")
	f.Add("json", `{"workers": 3, "guest": {"env": ["A=1"]}}`)
	f.Add("yml", "a: &a [*a]")
	f.Fuzz(func(t *testing.T, format, text string) {
		if !slices.Contains([]string{"toml", "yaml", "yml", "json"}, format) {
			return
		}
		path := filepath.Join(t.TempDir(), "appserver."+format)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		l, err := loadArgs([]string{config.EnvConfig + "=" + path})
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := printConfig(&out, l); err != nil {
			t.Fatal(err)
		}
		again := filepath.Join(t.TempDir(), "again.toml")
		if err := os.WriteFile(again, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := loadArgs([]string{config.EnvConfig + "=" + again}); err != nil || !reflect.DeepEqual(got.Config, l.Config) {
			t.Errorf("%v\n%s", err, &out)
		}
	})
}
