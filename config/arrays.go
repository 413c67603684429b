package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/appserver-go/appserver/internal/fault"
)

// Middleware is a guest in front of the app.
type Middleware struct {
	// App is the path of an http-wasm module.
	App string `mapstructure:"app"`
	// Guest is the guest's settings, without those that all guests of a worker have in common.
	Guest Guest `mapstructure:"guest"`
}

// Route is an app for the requests to some host or path.
type Route struct {
	// Host is a name, "*." and the end of names, or "" for any.
	Host string `mapstructure:"host"`
	// Path is the beginning of paths, without a slash at its end; "" for any path.
	Path string `mapstructure:"path"`
	// StripPrefix takes Path off what the app gets to see.
	StripPrefix bool `mapstructure:"strip_prefix"`
	// App is the path of a guest, or empty. Upstream or Static, a directory, is what an http-wasm guest passes requests on
	// to, and without App the app itself.
	App      string `mapstructure:"app"`
	Upstream string `mapstructure:"upstream"`
	Static   string `mapstructure:"static"`
	// Guest is the guest's settings, without those that all guests of a worker have in common.
	Guest Guest `mapstructure:"guest"`
}

// Array is a table that a file can have any number of, as [[key]]. It has no flags and variables. All of it comes into
// force as what Reload is Workers for.
type Array struct {
	// Key is the table's name and the mapstructure tag of the slice in Config.
	Key string
	// Title is the heading in the documentation, Help one line and Doc the rest, as of a Setting.
	Title, Help, Doc string
	// Rows are the settings of an item. Their keys are those of the item's struct: what is below "guest." has only its last
	// part in files.
	Rows []Setting
	// example is an item's rows that the sample shows live, by their names in files.
	example map[string]string
}

// Arrays returns the arrays of tables that a file can have.
func Arrays() []Array {
	return []Array{
		{
			Key: "middleware", Title: "Middleware", Rows: middlewareRows(), Help: "guests that each request goes through before the app, in the order of the file",
			Doc: "Each is an http-wasm guest: it answers a request itself, or passes it on to the next one, and sees the response on its way back. Files of `static` are " +
				"served without them. See routes.md.",
			example: map[string]string{"app": "auth.wasm"},
		},
		{
			Key: "route", Title: "Routes", Rows: routeRows(), Help: "apps for some hosts or paths; `app` gets the other requests",
			Doc: "The most specific route wins: an exact host before one with a wildcard before none, a longer name behind a wildcard before a shorter one, then the " +
				"path with the most segments. Requests that no route and no `app` or `upstream` is for are answered with 404. See routes.md.",
			example: map[string]string{"host": "api.example.org", "path": "/v1", "app": "api.wasm"},
		},
	}
}

// ownRows are the rows of the guest section that each guest has for itself.
func ownRows(without ...string) []Setting {
	common := []string{"guest.memory_budget", "guest.interrupt", "guest.cache_dir", "guest.share_code"}
	var rows []Setting
	for _, s := range slices.Concat(guestSettings(), guestWorld(), guestBoundary()) {
		if !slices.Contains(common, s.Key) && !slices.Contains(without, s.leaf()) {
			rows = append(rows, s)
		}
	}
	return rows
}

func middlewareRows() []Setting {
	return append([]Setting{
		{Key: "app", Kind: String, Reload: Workers, Help: "the guest: an http-wasm module", Doc: "It must be given."},
	}, ownRows("protocol", "plugin_config")...)
}

func routeRows() []Setting {
	return append([]Setting{
		{
			Key: "host", Kind: String, Reload: Workers, Help: "name in the request's Host, *.example.org for all below one, or any host without it",
			Doc: "The port does not count, nor does the case of letters.",
		},
		{
			Key: "path", Kind: String, Reload: Workers, Help: "path that the request's begins with, by whole segments, or any without it",
			Doc: "`/api` is for `/api` and `/api/v1`, not for `/apis`.",
		},
		{
			Key: "strip_prefix", Kind: Bool, Default: "true", Reload: Workers, Help: "whether the app sees the path without the route's",
			Doc: "What is taken off is added to `SCRIPT_NAME`, or `X-Forwarded-Prefix`, as with `root_path`.",
		},
		{Key: "app", Kind: String, Reload: Workers, Help: "the guest: a WebAssembly module or a Go plugin"},
		{
			Key: "upstream", Kind: String, Reload: Workers, Help: "URL of the server that answers",
			Doc: "With `app` it is for requests that an http-wasm guest passes on.",
		},
		{
			Key: "static", Kind: String, Reload: Workers, Help: "directory whose files answer",
			Doc: "With `app` it is for requests that an http-wasm guest passes on.",
		},
	}, ownRows()...)
}

// LookupArray finds an array by its key.
func LookupArray(key string) (Array, bool) {
	for _, l := range Arrays() {
		if l.Key == key {
			return l, true
		}
	}
	return Array{}, false
}

// row finds a row by its name in files.
func (l Array) row(name string) (Setting, bool) {
	i := slices.IndexFunc(l.Rows, func(s Setting) bool { return s.leaf() == name })
	if i < 0 {
		return Setting{}, false
	}
	return l.Rows[i], true
}

// items returns pointers to the list's items in c.
func (l Array) items(c *Config) []any {
	all := Setting{Key: l.Key}.field(c)
	items := make([]any, all.Len())
	for i := range items {
		items[i] = all.Index(i).Addr().Interface()
	}
	return items
}

// itemKey names a setting of an item, the first being 1.
func (l Array) itemKey(i int, name string) string { return fmt.Sprintf("%s[%d].%s", l.Key, i+1, name) }

// inItem makes an error about a row one about the row of an item.
func (l Array) inItem(i int, err error) error {
	var p *Problem
	if !errors.As(err, &p) {
		return err
	}
	name := p.Key[strings.LastIndexByte(p.Key, '.')+1:]
	return &fault.Error{Err: &Problem{Key: l.itemKey(i, name), Source: p.Source, Err: p.Err}, Hint: fault.Hint(err)}
}

// Set makes raw, what a decoder of files makes of the array, the array in c. The error is a *fault.Error around a *Problem
// that names the item and from. Names that are no settings are errors.
func (l Array) Set(c *Config, raw any, from Source) error {
	tables, err := l.tables(raw)
	if err != nil {
		return &fault.Error{Err: &Problem{Key: l.Key, Source: from, Err: err}, Hint: fmt.Sprintf("write [[%s]] on a line and settings below it", l.Key)}
	}
	field := Setting{Key: l.Key}.field(c)
	field.SetZero()
	for i, table := range tables {
		item := reflect.New(field.Type().Elem())
		if err := l.setItem(item.Interface(), i, table, from); err != nil {
			return err
		}
		field.Set(reflect.Append(field, item.Elem()))
	}
	return nil
}

// tables returns the items of a list from a file.
func (l Array) tables(raw any) ([]map[string]any, error) {
	if tables, ok := raw.([]map[string]any); ok {
		return tables, nil
	}
	items, ok := raw.([]any)
	if !ok {
		return nil, fmt.Errorf("it is %s, want a list of tables", describe(raw))
	}
	var tables []map[string]any
	for i, item := range items {
		table, ok := item.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("item %d of the list is %s, want a table", i+1, describe(item))
		}
		tables = append(tables, table)
	}
	return tables, nil
}

func (l Array) setItem(item any, i int, table map[string]any, from Source) error {
	names := make([]string, 0, len(table))
	for name := range table {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if _, ok := l.row(name); !ok {
			return l.unknown(i, name, from)
		}
		if table[name] == nil {
			return &fault.Error{Err: &Problem{Key: l.itemKey(i, name), Source: from, Err: errors.New("it has no value")}, Hint: "give it one, or remove the line"}
		}
	}
	for _, s := range l.Rows {
		raw, given := table[s.leaf()]
		if !given {
			if raw = s.Default; s.Default == "" {
				continue
			}
		}
		if err := s.set(item, raw, from); err != nil {
			return l.inItem(i, err)
		}
	}
	return nil
}

// unknown is the error for a name that is no setting of the list.
func (l Array) unknown(i int, name string, from Source) error {
	var known []string
	for _, s := range l.Rows {
		known = append(known, s.leaf())
	}
	hint := "docs/settings.md lists the settings of a [[" + l.Key + "]]"
	if near := Suggest(name, known); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	} else if _, ok := Lookup("guest." + name); ok {
		hint = "it is for all guests of a worker: set it in [guest]"
	}
	return fault.New(hint, "unknown setting %q in %s", l.itemKey(i, name), from)
}

// check applies what the table says of the rows.
func (l Array) check(c *Config) error {
	for i, item := range l.items(c) {
		for _, s := range l.Rows {
			if err := s.check(item); err != nil {
				return l.inItem(i, err)
			}
		}
	}
	return nil
}

// Get returns the list in c as plain data, for people: the settings of each item by their names in files.
func (l Array) Get(c *Config) []map[string]string {
	var all []map[string]string
	for _, item := range l.items(c) {
		m := map[string]string{}
		for _, s := range l.Rows {
			m[s.leaf()] = s.toml(item)
		}
		all = append(all, m)
	}
	return all
}

// toml writes the list in c as it is in a TOML file.
func (l Array) toml(b *strings.Builder, c *Config, note string) {
	for _, item := range l.items(c) {
		fmt.Fprintf(b, "\n[[%s]]", l.Key)
		if note != "" {
			fmt.Fprintf(b, " # %s", strings.Trim(tomlString(note), `"`))
		}
		b.WriteByte('\n')
		for _, s := range l.Rows {
			fmt.Fprintf(b, "%s = %s\n", s.leaf(), s.toml(item))
		}
	}
}

// sample writes an item with all settings, commented out as a whole.
func (l Array) sample(b *strings.Builder) {
	fmt.Fprintf(b, "\n# --- %s ---\n\n# %s\n#[[%s]]\n", l.Title, capital(l.Help), l.Key)
	item := reflect.New(Setting{Key: l.Key}.field(&Config{}).Type().Elem()).Interface()
	if err := l.setItem(item, 0, nil, Source{}); err != nil {
		panic(err) // the table is wrong, and no test has run
	}
	for _, s := range l.Rows {
		value := s.toml(item)
		if text, ok := l.example[s.leaf()]; ok {
			value = tomlString(text)
		}
		fmt.Fprintf(b, "#%s = %s\n", s.leaf(), value)
	}
}

// markdown writes the list's part of docs/settings.md.
func (l Array) markdown(b *strings.Builder) {
	fmt.Fprintf(b, "\n## %s\n\n`[[%s]]` in the file, any number of them, or a list of tables in YAML and JSON: %s. %s In messages the first is `%s[1]`. "+
		"There are no flags and variables for them; a change takes effect in the workers that a reload starts.\n\n| setting | value | default | |\n|---|---|---|---|\n",
		l.Title, l.Key, l.Help, l.Doc, l.Key)
	for _, s := range l.Rows {
		text := s.Help
		if strings.HasPrefix(s.Key, "guest.") {
			text = fmt.Sprintf("as [`%s`](#%s)", s.Key, strings.ReplaceAll(s.Key, ".", ""))
		} else if s.Doc != "" {
			text = capital(text) + " " + s.Doc
		}
		def := "none"
		if s.Default != "" {
			def = "`" + s.Default + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", s.leaf(), strings.ReplaceAll(s.valueText(), "|", `\|`), def, strings.ReplaceAll(text, "|", `\|`))
	}
}
