package main

import (
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/appserver-go/appserver/config"
)

// configFlag names the configuration file. It is the only flag of bindFlags that is no setting.
const configFlag = "config"

// bindFlags adds a flag for every setting, and --config. The flags take any text: loadConfig checks it, so that a bad
// value gets the same error wherever it comes from.
func bindFlags(fs *pflag.FlagSet) {
	fs.StringP(configFlag, "c", "", "configuration `file`: TOML, YAML or JSON (default ./appserver.toml, .yaml, .yml or .json)")
	for _, s := range config.Settings() {
		if s.Argument {
			continue
		}
		usage := s.Help
		if s.Kind.Many() {
			usage += "; may be repeated"
		}
		f := fs.VarPF(&flagValue{setting: s}, s.Flag(), s.Short, usage)
		if s.Kind == config.Bool {
			f.NoOptDefVal = "true"
		}
	}
}

// flagValue collects what a flag was given.
type flagValue struct {
	setting config.Setting
	texts   []string
}

// Set takes the flag's next value. Of a flag with a single value the last wins.
func (v *flagValue) Set(text string) error {
	if !v.setting.Kind.Many() {
		v.texts = v.texts[:0]
	}
	v.texts = append(v.texts, text)
	return nil
}

// String returns the values for people; before any it is the default.
func (v *flagValue) String() string {
	if v.texts == nil {
		return v.setting.Default
	}
	return strings.Join(v.texts, ",")
}

// Type returns the word that stands for the value in --help.
func (v *flagValue) Type() string { return v.setting.Kind.String() }

// raw returns the values for Setting.Set.
func (v *flagValue) raw() any {
	if v.setting.Kind.Many() {
		return slices.Clone(v.texts)
	}
	return v.texts[0]
}
