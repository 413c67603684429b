package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"

	"github.com/appserver-go/appserver/config"
	"github.com/appserver-go/appserver/host/static"
	"github.com/appserver-go/appserver/internal/accesslog"
	"github.com/appserver-go/appserver/internal/fault"
	"github.com/appserver-go/appserver/sockets"
)

// workerClasses are the names of the worker classes this command is built with.
func workerClasses() []string { return slices.Sorted(maps.Keys(classes())) }

// Loaded is the configuration in force and where it comes from.
type Loaded struct {
	// Config is validated, save that App may be empty.
	Config config.Config
	// File is the path of the configuration file, or "" without one.
	File string
	// Sources says where the value of each setting comes from, by its key.
	Sources map[string]config.Source
}

// loadConfig puts the configuration together: flags over APPSERVER_* variables over the file over the defaults. Fs has the
// flags of bindFlags, environ is in the form of os.Environ, args are the arguments that are not flags: the guest, or
// nothing.
func loadConfig(fs *pflag.FlagSet, environ, args []string) (*Loaded, error) {
	return loadConfigIn("", fs, environ, args)
}

// loadConfigIn is loadConfig as if dir were the current directory: where the server was started, which it may have left.
func loadConfigIn(dir string, fs *pflag.FlagSet, environ, args []string) (*Loaded, error) {
	env := environment(environ)
	if err := checkEnvNames(env); err != nil {
		return nil, err
	}
	file, err := configPath(dir, fs, env)
	if err != nil {
		return nil, err
	}
	l := &layers{viper: viper.New(), sources: map[string]config.Source{}, arrays: map[string]any{}}
	l.addDefaults(env)
	if file != "" {
		if err := l.addFile(file); err != nil {
			return nil, err
		}
	}
	l.addEnv(env)
	l.addFlags(fs)
	own, guest := splitArgs(fs, args)
	if len(own) > 0 {
		l.set("app", own[0], config.Source{Kind: config.FromArgument})
	}
	if len(guest) > 0 {
		l.set("guest.args", guest, config.Source{Kind: config.FromArgument})
	}
	cfg, err := l.decode()
	if err != nil {
		return nil, err
	}
	return &Loaded{Config: cfg, File: file, Sources: l.sources}, nil
}

// splitArgs splits a command's arguments at "--": what is behind it is the guest's.
func splitArgs(fs *pflag.FlagSet, args []string) (own, guest []string) {
	if n := fs.ArgsLenAtDash(); n >= 0 {
		return args[:n], args[n:]
	}
	return args, nil
}

// loadServable is loadConfig for commands that cannot do without a guest.
func loadServable(fs *pflag.FlagSet, environ, args []string) (*Loaded, error) {
	loaded, err := loadConfig(fs, environ, args)
	if err != nil {
		return nil, err
	}
	return loaded, loaded.Config.RequireApp()
}

// layers gathers values, weak sources first, and remembers the source of each.
type layers struct {
	viper   *viper.Viper
	sources map[string]config.Source
	arrays  map[string]any // as the file's decoder made them
}

func (l *layers) set(key string, value any, from config.Source) {
	l.viper.Set(key, value)
	l.sources[key] = from
}

// addDefaults adds the table's defaults, or what the platform's variables have instead of them.
func (l *layers) addDefaults(env map[string]string) {
	for _, s := range config.Settings() {
		if text := env[s.Fallback]; s.Fallback != "" && text != "" {
			l.viper.SetDefault(s.Key, s.FallbackValue(text))
			l.sources[s.Key] = config.Source{Kind: config.FromEnv, Name: s.Fallback}
			continue
		}
		l.viper.SetDefault(s.Key, s.Default)
		l.sources[s.Key] = config.Source{}
	}
}

func (l *layers) addFile(path string) error {
	values, err := readConfigFile(path)
	if err != nil {
		return err
	}
	for key := range values {
		l.sources[key] = config.Source{Kind: config.FromFile, Name: path}
		if _, ok := config.LookupArray(key); ok {
			l.arrays[key] = values[key] // and not through viper, which would fold the case of names
			delete(values, key)
		}
	}
	return l.viper.MergeConfigMap(values)
}

// addEnv adds the variables that are set and not empty.
func (l *layers) addEnv(env map[string]string) {
	for _, s := range config.Settings() {
		text := env[s.EnvName()]
		if text == "" {
			continue
		}
		value := any(text)
		if s.Kind == config.Repeated {
			value = nonEmptyLines(text)
		}
		l.set(s.Key, value, config.Source{Kind: config.FromEnv, Name: s.EnvName()})
	}
}

func nonEmptyLines(text string) []string {
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimSuffix(line, "\r"); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

func (l *layers) addFlags(fs *pflag.FlagSet) {
	fs.Visit(func(f *pflag.Flag) {
		if v, ok := f.Value.(*flagValue); ok {
			l.set(v.setting.Key, v.raw(), config.Source{Kind: config.FromFlag, Name: "--" + f.Name})
		}
	})
}

// decode makes a validated Config of the strongest values.
func (l *layers) decode() (config.Config, error) {
	var cfg config.Config
	for _, s := range config.Settings() {
		raw, from := l.viper.Get(s.Key), l.sources[s.Key]
		if from.Kind == config.FromDefault && raw == "" {
			continue
		}
		if err := s.Set(&cfg, raw, from); err != nil {
			return cfg, l.locate(err)
		}
	}
	for _, a := range config.Arrays() {
		if raw, ok := l.arrays[a.Key]; ok {
			if err := a.Set(&cfg, raw, l.sources[a.Key]); err != nil {
				return cfg, err
			}
		}
	}
	if cfg.ChooseClass(l.sources["worker_class"].Kind != config.FromDefault) {
		l.sources["worker_class"] = config.Source{Name: "because threads is more than 1"}
	}
	if err := cfg.Validate(workerClasses()); err != nil {
		return cfg, l.locate(err)
	}
	if _, err := accesslog.Parse(cfg.AccessLogFormat); err != nil {
		return cfg, l.locate(&config.Problem{Key: "access_log_format", Err: err})
	}
	if _, err := parseBinds(cfg.Bind); err != nil {
		return cfg, l.locate(&config.Problem{Key: "bind", Err: err})
	}
	for _, mount := range cfg.Static {
		if _, err := static.Parse(mount); err != nil {
			return cfg, l.locate(&config.Problem{Key: "static", Err: err})
		}
	}
	if cfg.MetricsBind != "" {
		if _, err := parseBinds([]string{cfg.MetricsBind}); err != nil {
			return cfg, l.locate(&config.Problem{Key: "metrics_bind", Err: err})
		}
	}
	return cfg, nil
}

// parseBinds reads the addresses of the bind setting.
func parseBinds(binds []string) ([]sockets.Addr, error) {
	addrs := make([]sockets.Addr, len(binds))
	for i, bind := range binds {
		var err error
		if addrs[i], err = sockets.Parse(bind); err != nil {
			return nil, err
		}
	}
	return addrs, nil
}

// locate completes an error about a setting with its source. What the command line has wrong is a usage error.
func (l *layers) locate(err error) error {
	var p *config.Problem
	if !errors.As(err, &p) {
		return err
	}
	key, _, _ := strings.Cut(p.Key, "[") // of an item of an array
	from, code := l.sources[key], fault.Failed
	if from.Kind == config.FromFlag || from.Kind == config.FromArgument {
		code = fault.Usage
	}
	return &fault.Error{
		Err: &config.Problem{Key: p.Key, Source: from, Err: p.Err}, Hint: fault.Hint(err), Code: code,
	}
}

// configPath returns the path of the configuration file: from the flag, from the environment, or found. Relative ones are
// those of dir. An empty flag means no file.
func configPath(dir string, fs *pflag.FlagSet, env map[string]string) (path string, err error) {
	switch f := fs.Lookup(configFlag); {
	case f != nil && f.Changed:
		path = f.Value.String()
	case env[config.EnvConfig] != "":
		path = env[config.EnvConfig]
	default:
		path, err = findConfigFile(dir)
	}
	if dir != "" && path != "" && !filepath.IsAbs(path) {
		path = dir + "/" + path // and not cleaned: ".." after a link is the kernel's to resolve
	}
	return path, err
}

// environment returns environ by names. Of two variables with a name the first counts, as in os.Getenv.
func environment(environ []string) map[string]string {
	env := make(map[string]string, len(environ))
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if _, twice := env[name]; !twice {
			env[name] = value
		}
	}
	return env
}

// checkEnvNames refuses variables that are meant to be settings and are none.
func checkEnvNames(env map[string]string) error {
	known := []string{strings.TrimPrefix(config.EnvConfig, config.EnvPrefix)}
	for _, s := range config.Settings() {
		known = append(known, strings.TrimPrefix(s.EnvName(), config.EnvPrefix))
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		word, ours := strings.CutPrefix(name, config.EnvPrefix)
		if !ours || env[name] == "" || slices.Contains(known, word) || fromKubernetes(name) {
			continue
		}
		hint := "variables that begin with " + config.EnvPrefix + " are settings; see appserver serve --help"
		if near := config.Suggest(word, known); near != "" {
			hint = fmt.Sprintf("did you mean %s%s?", config.EnvPrefix, near)
		}
		return fault.New(hint, "unknown environment variable %s", name)
	}
	return nil
}

// fromKubernetes reports whether name is one of those that Kubernetes gives every container in a namespace with a service
// called "appserver".
func fromKubernetes(name string) bool {
	return regexp.MustCompile(`^APPSERVER_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT|PORT_\d+_(TCP|UDP|SCTP)(_PROTO|_PORT|_ADDR)?)$`).
		MatchString(name)
}

// printConfig writes the configuration as a TOML file that can be loaded again, with the source of each value.
func printConfig(w io.Writer, l *Loaded) error {
	file := "none"
	if l.File != "" {
		file = fmt.Sprintf("%q", l.File)
	}
	_, err := fmt.Fprintf(w, "# configuration file: %s\n%s", file, l.Config.TOML(func(key string) string { return l.Sources[key].String() }))
	return err
}
