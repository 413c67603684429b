package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/viper"

	"github.com/appserver-go/appserver/config"
	"github.com/appserver-go/appserver/internal/fault"
)

// maxConfigFile is the size of the largest configuration file; all settings together must be smaller still.
const maxConfigFile = 1 << 20

// findConfigFile returns the first configuration file there is in dir, or "". An empty dir is the current directory.
func findConfigFile(dir string) (string, error) {
	for _, name := range []string{"appserver.toml", "appserver.yaml", "appserver.yml", "appserver.json"} {
		_, err := os.Lstat(filepath.Join(dir, name))
		if err == nil {
			return name, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fileFault(name, err)
		}
	}
	return "", nil
}

// readConfigFile returns the settings in a file by their keys, as their decoder made them. Keys that are no settings are
// an error.
func readConfigFile(path string) (map[string]any, error) {
	format := strings.TrimPrefix(filepath.Ext(path), ".")
	decoder, err := viper.NewCodecRegistry().Decoder(format)
	if err != nil || !slices.Contains([]string{"toml", "yaml", "yml", "json"}, strings.ToLower(format)) {
		return nil, fault.New("name it .toml, .yaml, .yml or .json", "configuration file %s: the name does not tell its format", path)
	}
	data, err := readRegular(path)
	if err != nil {
		return nil, err
	}
	if err := checkText(path, data); err != nil {
		return nil, err
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, nil
	}
	tree := map[string]any{}
	if err := decoder.Decode(data, tree); err != nil {
		return nil, syntaxFault(path, data, err)
	}
	if strings.HasPrefix(format, "y") && secondDocument(data) {
		return nil, fault.New("keep one of them", "configuration file %s holds more than one YAML document", path)
	}
	values := map[string]any{}
	return values, flatten(path, "", tree, values)
}

// readRegular reads a file, but no pipe or device, on which it could wait for ever.
func readRegular(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fileFault(path, err)
	}
	if !info.Mode().IsRegular() {
		what := "is not a regular file"
		if info.IsDir() {
			what = "is a directory"
		}
		return nil, fault.New("name the file itself with --config", "configuration file %s %s", path, what)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fileFault(path, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxConfigFile+1))
	if err != nil {
		return nil, fileFault(path, err)
	}
	if len(data) > maxConfigFile {
		return nil, fault.New("is it the right file?", "configuration file %s is larger than 1 MiB", path)
	}
	return data, nil
}

func fileFault(path string, err error) error {
	hint := "see that this user may read it"
	if errors.Is(err, fs.ErrNotExist) {
		hint = "appserver config init writes one"
	}
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return fault.New(hint, "read configuration file %s: %w", path, err)
}

// checkText refuses what is not UTF-8, which the decoders would mangle or explain badly.
func checkText(path string, data []byte) error {
	const hint = "save it as UTF-8"
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return fault.New(hint, "configuration file %s is UTF-16", path)
	}
	if utf8.Valid(data) {
		return nil
	}
	line := 1
	for text := range bytes.Lines(data) {
		if !utf8.Valid(text) {
			break
		}
		line++
	}
	return fault.New(hint, "configuration file %s: line %d is not UTF-8", path, line)
}

// syntaxFault words a decoder's error with the line it is about.
func syntaxFault(path string, data []byte, err error) error {
	where, text := path, strings.TrimPrefix(strings.TrimPrefix(err.Error(), "toml: "), "yaml: ")
	var positioned interface{ Position() (row, column int) } // an error of the TOML decoder
	var jsonSyntax *json.SyntaxError
	var jsonType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &positioned):
		row, column := positioned.Position()
		where = fmt.Sprintf("%s: line %d, column %d", path, row, column)
	case errors.As(err, &jsonSyntax):
		before := data[:min(int(jsonSyntax.Offset), len(data))]
		where = fmt.Sprintf("%s: line %d", path, 1+bytes.Count(before, []byte("\n")))
	case strings.Contains(text, "already defined"): // YAML says which key, and where
		_, text, _ = strings.Cut(text, "errors:")
	case errors.As(err, &jsonType), strings.Contains(text, "unmarshal errors"):
		text = "want one table of settings: names and values"
	}
	return fault.New("mend the syntax there", "configuration file %s: %s", where, strings.Join(strings.Fields(text), " "))
}

// secondDocument reports whether a "---" follows the first line of content. The decoder reads no further than that.
func secondDocument(data []byte) bool {
	content := false
	for line := range strings.Lines(string(data)) {
		marker := strings.HasPrefix(line, "---") && strings.TrimSpace(strings.SplitN(line[3:], "#", 2)[0]) == ""
		if marker && content {
			return true
		}
		trimmed := strings.TrimSpace(line)
		content = content || !marker && trimmed != "" && trimmed[0] != '#' && trimmed[0] != '%'
	}
	return false
}

// flatten puts the settings of a table and the tables in it into values. Keys are taken as written: viper alone would
// fold their case and let unknown ones pass.
func flatten(path, prefix string, table, values map[string]any) error {
	for _, name := range slices.Sorted(maps.Keys(table)) {
		key, value := prefix+name, table[name]
		_, known := config.Lookup(key)
		if _, isArray := config.LookupArray(key); isArray { // whose items are judged by the table
			known = true
		}
		sub, isTable := value.(map[string]any)
		switch {
		case known && value == nil:
			return fault.New("give it one, or remove the line", "%s in %s has no value", key, path)
		case known:
			if _, twice := values[key]; twice {
				return fault.New("keep one of them", "%s in %s is given twice", key, path)
			}
			values[key] = value
		case !isSection(key):
			return fault.New(config.SuggestKey(key), "unknown setting %q in %s", key, path)
		case isTable:
			if err := flatten(path, key+".", sub, values); err != nil {
				return err
			}
		case value != nil: // a section without settings is fine: all may be commented out
			return fault.New("its settings go below it, in a table", "%s in %s is a section and has no value of its own", key, path)
		}
	}
	return nil
}

// isSection reports whether settings have keys below key.
func isSection(key string) bool {
	return slices.ContainsFunc(config.Settings(), func(s config.Setting) bool { return strings.HasPrefix(s.Key, key+".") })
}
