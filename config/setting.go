package config

import (
	"strings"
)

// EnvPrefix begins the name of every environment variable that is a setting.
const EnvPrefix = "APPSERVER_"

// EnvConfig is the environment variable that names the configuration file. It is the only one with the prefix that is
// no setting.
const EnvConfig = EnvPrefix + "CONFIG"

// Kind is the type of a setting's value and the syntax of its text.
type Kind int

// The kinds of values.
const (
	String   Kind = iota // any text
	Enum                 // one of the setting's Values
	Int                  // a whole number
	Duration             // ParseDuration
	Bytes                // ParseSize
	Mode                 // ParseFileMode
	Bool                 // ParseBool
	Ratio                // a number from 0 to 1
	List                 // texts; a comma separates them in flags and the environment
	Repeated             // texts that may hold commas: one for each flag, one for each line of a variable
)

// String returns the word --help shows for a value of the kind.
func (k Kind) String() string {
	switch k {
	case Int, Ratio:
		return "number"
	case Duration:
		return "time"
	case Bytes:
		return "size"
	case Mode:
		return "mode"
	case Bool:
		return "bool" // for which pflag shows no word: the flag alone means true
	case List:
		return "list"
	default:
		return "text"
	}
}

// Many reports whether a setting of the kind has any number of values.
func (k Kind) Many() bool { return k == List || k == Repeated }

// Reload says what a changed setting needs to come into force.
type Reload string

// The reload classes, from cheap to dear.
const (
	Live    Reload = "live"    // the arbiter takes it over at a reload; workers need not change
	Workers Reload = "workers" // a reload starts new workers with it
	Restart Reload = "restart" // only a restart of the server brings it
)

// Section groups settings in --help, the documentation and the sample file.
type Section string

// The sections, in the order in which they are shown.
const (
	SectionServer  Section = "Server"
	SectionWorkers Section = "Workers"
	SectionTimes   Section = "Times"
	SectionLimits  Section = "Limits"
	SectionTLS     Section = "TLS"
	SectionTrust   Section = "Trust"
	SectionProcess Section = "Process"
	SectionReload  Section = "Reload"
	SectionLogs    Section = "Logs"
	SectionMetrics Section = "Metrics"
	SectionGuest   Section = "Guest"
	SectionHooks   Section = "Hooks"
)

// Setting is one row of the table: all there is to know of a setting.
type Setting struct {
	// Key is the name in files and in the mapstructure tags of Config: "timeout", "guest.memory_limit".
	Key string
	// Short is the one-letter flag, or empty. The letters are gunicorn's.
	Short string
	// Section is where the setting is shown.
	Section Section
	// Kind is the type of the value.
	Kind Kind
	// Values are the texts an Enum may have.
	Values []string
	// Default is the default as text; a comma separates the values of a List.
	Default string
	// Fallback is an environment variable of the platform that replaces Default when it is set, as in gunicorn. It is
	// weaker than the file.
	Fallback string
	// Min and Max bound an Int, a Duration (nanoseconds) or Bytes. Zero allows the value 0 below Min, as "off".
	Min, Max int64
	Zero     bool
	// Reload says what a change needs.
	Reload Reload
	// Help is one line for --help. Doc tells the rest, for the documentation; it may be empty.
	Help, Doc string
	// Gunicorn is the name of the setting in gunicorn when it has another one there.
	Gunicorn string
	// Argument says that the command line gives the setting as an argument and not as a flag.
	Argument bool
}

// Flag returns the name of the long flag without dashes, or "" for an argument.
func (s Setting) Flag() string {
	if s.Argument {
		return ""
	}
	return strings.NewReplacer("_", "-", ".", "-").Replace(s.Key)
}

// EnvName returns the name of the environment variable.
func (s Setting) EnvName() string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(s.Key, ".", "_"))
}

// FallbackValue turns the text of the Fallback variable into a value. All are values as they are save PORT, which is
// a port of all addresses, as in gunicorn.
func (s Setting) FallbackValue(text string) string {
	if s.Fallback == "PORT" {
		return "0.0.0.0:" + text
	}
	return text
}

// Lookup finds a row of the table by its key.
func Lookup(key string) (Setting, bool) {
	for _, s := range Settings() {
		if s.Key == key {
			return s, true
		}
	}
	return Setting{}, false
}

// Settings returns the table: every setting, sections together and in their order.
func Settings() []Setting {
	var all []Setting
	for _, rows := range [][]Setting{
		serverSettings(), workerSettings(), timeSettings(), limitSettings(), tlsSettings(), trustSettings(), processSettings(), reloadSettings(), logSettings(),
		metricsSettings(), guestSettings(), guestWorld(), guestBoundary(), hookSettings(),
	} {
		all = append(all, rows...)
	}
	return all
}

// Sections returns the sections in the order in which they are shown.
func Sections() []Section {
	return []Section{
		SectionServer, SectionWorkers, SectionTimes, SectionLimits, SectionTLS, SectionTrust, SectionProcess, SectionReload, SectionLogs,
		SectionMetrics, SectionGuest, SectionHooks,
	}
}
