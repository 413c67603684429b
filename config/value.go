package config

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/appserver-go/appserver/internal/fault"
)

// Get returns the setting's value in c, with the type of the field.
func (s Setting) Get(c *Config) any { return s.get(c) }

// get is Get for a Config or an item of an Array.
func (s Setting) get(root any) any { return s.field(root).Interface() }

// Copy puts the setting's value in from into to. Lists are shared.
func (s Setting) Copy(to, from *Config) { s.field(to).Set(s.field(from)) }

// Set parses raw and puts it into c. Raw is what a flag or variable holds (a string; for a setting that is Many also
// a []string) or what a decoder of files makes of a value (string, int, int64, uint64, float64, bool, []any).
// The error is a *fault.Error around a *Problem that names the setting and from.
func (s Setting) Set(c *Config, raw any, from Source) error { return s.set(c, raw, from) }

// set is Set for a Config or an item of an Array.
func (s Setting) set(root, raw any, from Source) error {
	v, err := s.parse(raw)
	if err != nil {
		return &fault.Error{Err: &Problem{Key: s.Key, Source: from, Err: err}, Hint: s.hint(raw)}
	}
	s.field(root).Set(reflect.ValueOf(v))
	return nil
}

// field finds the setting's field by the mapstructure tags below root, a pointer to a Config or to an item of an Array.
func (s Setting) field(root any) reflect.Value {
	v := reflect.ValueOf(root).Elem()
	for name := range strings.SplitSeq(s.Key, ".") {
		t := v.Type()
		for i := range t.NumField() {
			if t.Field(i).Tag.Get("mapstructure") == name {
				v = v.Field(i)
				break
			}
		}
	}
	return v
}

func (s Setting) parse(raw any) (any, error) {
	if s.Kind.Many() {
		return s.parseMany(raw)
	}
	if s.Kind == Bool {
		return parseBool(raw)
	}
	text, err := scalar(raw)
	if err != nil {
		return nil, err
	}
	switch s.Kind {
	case Int:
		return parseInt(text)
	case Ratio:
		return parseRatio(text)
	case Duration:
		return parseTime(raw, text)
	case Bytes:
		return ParseSize(text)
	case Mode:
		return parseMode(raw, text)
	case Enum:
		return strings.ToLower(text), s.checkEnum(strings.ToLower(text))
	default:
		if fraction(raw) {
			return nil, fmt.Errorf("%s is a fraction, want a text in quotes", text)
		}
		return text, nil
	}
}

// scalar returns the text of a value that is not a list. Whole numbers are as good as texts: a user or an argument may
// be a number.
func scalar(raw any) (string, error) {
	switch v := raw.(type) {
	case string:
		return v, nil
	case int:
		return strconv.Itoa(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case uint64:
		return strconv.FormatUint(v, 10), nil
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return "", fmt.Errorf("%v is not a finite number", v)
		}
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	default:
		return "", fmt.Errorf("it is %s, want a single value", describe(raw))
	}
}

// fraction reports a number that is not whole. Its text is not the one its author wrote: 1.10 has become 1.1. Whole
// numbers are floats too in JSON.
func fraction(raw any) bool {
	f, ok := raw.(float64)
	return ok && f != math.Trunc(f)
}

// describe names the type of a value from a file in words.
func describe(raw any) string {
	switch reflect.ValueOf(raw).Kind() {
	case reflect.Bool:
		return fmt.Sprintf("the truth value %v", raw)
	case reflect.String:
		return "a text"
	case reflect.Slice:
		return "a list"
	case reflect.Map:
		return "a table"
	case reflect.Invalid:
		return "empty"
	case reflect.Struct:
		return "a date"
	default:
		return "a number"
	}
}

func parseInt(text string) (int, error) {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number", clip(text))
	}
	return n, nil
}

func parseRatio(text string) (float64, error) {
	f, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || !(f >= 0 && f <= 1) { // NaN is in no range
		return 0, fmt.Errorf("%q is not a number from 0 to 1", clip(text))
	}
	return f, nil
}

// parseBool takes the truth values of files, and the words that variables have for them.
func parseBool(raw any) (bool, error) {
	if v, ok := raw.(bool); ok {
		return v, nil
	}
	text, err := scalar(raw)
	if err != nil {
		return false, fmt.Errorf("it is %s, want true or false", describe(raw))
	}
	return ParseBool(text)
}

// parseTime exists for the fraction of a second in a file, whose float has a longer text than its author wrote.
func parseTime(raw any, text string) (time.Duration, error) {
	if f, ok := raw.(float64); ok && f >= 0 && f < 1e6 {
		return time.Duration(math.Round(f * float64(time.Second))), nil
	}
	return ParseDuration(text)
}

// parseMode refuses numbers from files: the decoder has already read 0660 of YAML and 0o660 of TOML as octal and 660 as
// decimal, and which it was cannot be told any more. Below 8 they are the same.
func parseMode(raw any, text string) (FileMode, error) {
	if _, ok := raw.(string); !ok && len(text) != 1 {
		return 0, fmt.Errorf("the number may be meant as octal or as decimal, want octal digits in quotes")
	}
	return ParseFileMode(text)
}

func (s Setting) checkEnum(text string) error {
	for _, v := range s.Values {
		if v == text {
			return nil
		}
	}
	return fmt.Errorf("%q is not one of %s", clip(text), strings.Join(s.Values, ", "))
}

func (s Setting) parseMany(raw any) ([]string, error) {
	var texts []string
	switch v := raw.(type) {
	case []string:
		texts = v
	case []any:
		for i, item := range v {
			if fraction(item) {
				return nil, fmt.Errorf("item %d of the list is a fraction, want a text in quotes", i+1)
			}
			text, err := scalar(item)
			if err != nil {
				return nil, fmt.Errorf("item %d of the list is %s, want a text", i+1, describe(item))
			}
			texts = append(texts, text)
		}
		return texts, nil
	case map[string]any, map[any]any, bool, nil:
		return nil, fmt.Errorf("it is %s, want a list of texts", describe(raw))
	default:
		text, err := scalar(raw)
		if err != nil {
			return nil, err
		}
		texts = []string{text}
	}
	if s.Kind == Repeated {
		return append([]string(nil), texts...), nil
	}
	return splitCommas(texts), nil
}

// splitCommas splits every text at its commas and drops blanks and empty items.
func splitCommas(texts []string) []string {
	var items []string
	for _, text := range texts {
		for item := range strings.SplitSeq(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				items = append(items, item)
			}
		}
	}
	return items
}

// hint says how to write the setting, given what was written instead.
func (s Setting) hint(raw any) string {
	text, _ := raw.(string)
	switch s.Kind {
	case Int:
		return fmt.Sprintf("write a whole number: %s = %s", s.leaf(), s.example())
	case Ratio:
		return fmt.Sprintf("write a number from 0 to 1: %s = 0.1", s.leaf())
	case Duration:
		return `write seconds as a bare number, or a unit: 30, "500ms", "1m30s"`
	case Bytes:
		return `write bytes as a bare number, or a unit: 65536, "64KiB", "10MB", "1g"`
	case Mode:
		return fmt.Sprintf(`write octal digits in quotes: %s = "%s"`, s.leaf(), s.Default)
	case Bool:
		return fmt.Sprintf("write true or false: %s = true", s.leaf())
	case Enum:
		if near := Suggest(text, s.Values); near != "" {
			return fmt.Sprintf("did you mean %q?", near)
		}
		return "it is one of " + strings.Join(s.Values, ", ")
	case List, Repeated:
		return fmt.Sprintf("write a list of texts: %s = [%q]", s.leaf(), s.example())
	default:
		return fmt.Sprintf("write a text in quotes: %s = %q", s.leaf(), s.example())
	}
}

// leaf returns the key as it is written inside its section of a file.
func (s Setting) leaf() string { return s.Key[strings.LastIndexByte(s.Key, '.')+1:] }

// example returns a value for hints.
func (s Setting) example() string {
	switch {
	case strings.HasSuffix(s.Key, "env"):
		return "NAME=value"
	case s.Key == "guest.dirs":
		return "/srv/data:/data"
	case s.Default != "":
		return strings.SplitN(s.Default, ",", 2)[0]
	default:
		return "…"
	}
}

// Default returns the settings as the table has them, without regard to any environment.
func Default() Config {
	var c Config
	for _, s := range Settings() {
		if s.Default == "" {
			continue
		}
		if err := s.Set(&c, s.Default, Source{}); err != nil {
			panic(err) // the table is wrong, and no test has run
		}
	}
	return c
}
