package config

import (
	"fmt"

	"github.com/appserver-go/appserver/internal/fault"
)

// SourceKind is the kind of place a value comes from.
type SourceKind int

// The kinds of sources, from weak to strong.
const (
	FromDefault  SourceKind = iota // the table; Name may say why it is not the table's usual default
	FromFile                       // a configuration file; Name is its path
	FromEnv                        // an environment variable; Name is its name
	FromFlag                       // a flag; Name is its long name with dashes
	FromArgument                   // the command line's argument
)

// Source says where the value of a setting comes from.
type Source struct {
	Kind SourceKind
	Name string
}

// String returns s in words.
func (s Source) String() string {
	switch s.Kind {
	case FromFile:
		return s.Name
	case FromEnv:
		return "environment variable " + s.Name
	case FromFlag:
		return "flag " + s.Name
	case FromArgument:
		return "command line"
	default:
		if s.Name != "" {
			return "default, " + s.Name
		}
		return "default"
	}
}

// Problem is a value that a setting cannot have.
type Problem struct {
	Key    string // the setting
	Source Source // where the value comes from; the zero Source means that it is unknown
	Err    error  // what is wrong with it
}

func (p *Problem) Error() string {
	switch p.Source.Kind {
	case FromDefault:
		return fmt.Sprintf("%s: %v", p.Key, p.Err)
	case FromFile:
		return fmt.Sprintf("%s in %s: %v", p.Key, p.Source, p.Err)
	default:
		return fmt.Sprintf("%s from %s: %v", p.Key, p.Source, p.Err)
	}
}

func (p *Problem) Unwrap() error { return p.Err }

// problem makes the fault for a setting whose source is not known here.
func problem(key, hint, format string, args ...any) *fault.Error {
	return &fault.Error{Err: &Problem{Key: key, Err: fmt.Errorf(format, args...)}, Hint: hint}
}
