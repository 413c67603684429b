package config

import (
	"fmt"
	"strings"
	"time"
)

const markdownHead = `# Settings

<!-- Generated from the table in package config. Change it there and run: go test ./config -run Markdown -update -->

Each setting has one name in four places. The command line wins over the environment, the environment over the
configuration file, and the file over the defaults:

| where | ` + "`worker_class`" + ` | ` + "`guest.memory_limit`" + ` |
|---|---|---|
| command line | ` + "`--worker-class threaded`" + ` | ` + "`--guest-memory-limit 64MiB`" + ` |
| environment | ` + "`APPSERVER_WORKER_CLASS=threaded`" + ` | ` + "`APPSERVER_GUEST_MEMORY_LIMIT=64MiB`" + ` |
| TOML file | ` + "`worker_class = \"threaded\"`" + ` | ` + "`memory_limit = \"64MiB\"`" + ` below ` + "`[guest]`" + ` |
| default | ` + "`sync`" + ` | ` + "`128MiB`" + ` |

The file is named with ` + "`--config`" + ` (` + "`-c`" + `) or ` + "`APPSERVER_CONFIG`" + `. Without them it is the first there is of
` + "`appserver.toml`, `appserver.yaml`, `appserver.yml` and `appserver.json`" + ` in the current directory. ` + "`appserver config init`" + `
writes a file with every setting in it, ` + "`appserver config print`" + ` shows the values in force and where each comes from.
A name that is none of these settings, in the file or in a variable that begins with ` + "`APPSERVER_`" + `, is an error. A variable
that is empty counts as not set; so do those that Kubernetes sets for a service called "appserver".

## Values

| kind | how to write it |
|---|---|
| time | a bare number is seconds: ` + "`30`, `1.5`" + `; or with units: ` + "`500ms`, `1m30s`" + ` |
| size | a bare number is bytes; ` + "`KB MB GB TB`" + ` count in thousands, ` + "`KiB MiB GiB TiB`" + ` and the letters ` + "`k m g t`" + ` in 1024s |
| mode | octal digits: ` + "`0660`, `660`, `0o660`" + `; in files in quotes |
| true or false | ` + "`true`, `yes`, `on`, `1`, or `false`, `no`, `off`, `0`" + `; the flag alone is true; in TOML ` + "`true`" + ` without quotes |
| list | an array in files; elsewhere separated by commas, or the flag repeated |
| list of texts | an array in files; else one flag for each text, or one line of the variable for each; commas do not separate |

A changed setting comes into force as its last line says: **live** with a reload (SIGHUP), without new workers;
**workers** with a reload, in the workers it starts; **restart** when the server is started anew.
`

// SettingsMarkdown returns docs/settings.md.
func SettingsMarkdown() string {
	var b strings.Builder
	b.WriteString(markdownHead)
	section := Section("")
	for _, s := range Settings() {
		if s.Section != section {
			section = s.Section
			fmt.Fprintf(&b, "\n## %s\n", section)
		}
		s.markdown(&b)
	}
	for _, l := range Arrays() {
		l.markdown(&b)
	}
	return b.String()
}

func (s Setting) markdown(b *strings.Builder) {
	fmt.Fprintf(b, "\n### `%s`\n\n%s", s.Key, capital(s.Help))
	if s.Doc != "" {
		fmt.Fprintf(b, " %s", s.Doc)
	}
	b.WriteString("\n\n")
	if s.Argument {
		b.WriteString("* command line: the argument\n")
	} else if s.Short != "" {
		fmt.Fprintf(b, "* command line: `--%s`, `-%s`\n", s.Flag(), s.Short)
	} else {
		fmt.Fprintf(b, "* command line: `--%s`\n", s.Flag())
	}
	fmt.Fprintf(b, "* environment: `%s`\n", s.EnvName())
	fmt.Fprintf(b, "* value: %s\n", s.valueText())
	if s.Default != "" {
		fmt.Fprintf(b, "* default: `%s`", s.Default)
		if s.Fallback != "" {
			fmt.Fprintf(b, ", or from `%s`", s.Fallback)
		}
		b.WriteString("\n")
	} else {
		b.WriteString("* default: none\n")
	}
	if s.Gunicorn != "" {
		fmt.Fprintf(b, "* in gunicorn: `%s`\n", s.Gunicorn)
	}
	fmt.Fprintf(b, "* change: %s\n", s.Reload)
}

// valueText describes the values the setting takes.
func (s Setting) valueText() string {
	switch s.Kind {
	case Enum:
		return "`" + strings.Join(s.Values, "`, `") + "`"
	case Int:
		return fmt.Sprintf("number, %d to %d", s.Min, s.Max)
	case Ratio:
		return "number, 0 to 1"
	case Duration:
		text := fmt.Sprintf("time, %s to %s", FormatDuration(time.Duration(s.Min)), FormatDuration(time.Duration(s.Max)))
		if s.Zero {
			return text + ", or 0"
		}
		return text
	case Bytes:
		if s.Max > 0 {
			return fmt.Sprintf("size, %s to %s", Size(s.Min), Size(s.Max))
		}
		return "size"
	case Repeated:
		return "list of texts"
	case Bool:
		return "true or false"
	default:
		return s.Kind.String()
	}
}
