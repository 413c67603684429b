package config

import (
	"fmt"
	"strings"
)

// Sample returns a TOML file with every setting at its default, all commented out. A line that begins with "# " is prose,
// one that begins with "#" alone a setting: without that character it is in force.
func Sample() string {
	var b strings.Builder
	b.WriteString("# Settings of appserver. All are commented out at their defaults; remove the # before those to change.\n" +
		"# The environment (APPSERVER_WORKERS=4) and the command line (--workers 4) win over this file.\n")
	defaults := Default()
	section, table := Section(""), ""
	for _, s := range Settings() {
		if s.Section != section {
			section = s.Section
			fmt.Fprintf(&b, "\n# --- %s ---\n", section)
		}
		if t := s.table(); t != table {
			table = t
			fmt.Fprintf(&b, "\n[%s]\n", table)
		}
		fmt.Fprintf(&b, "\n# %s\n#%s = %s\n", capital(s.Help), s.leaf(), s.TOML(&defaults))
	}
	for _, l := range Arrays() {
		l.sample(&b)
	}
	return b.String()
}

// capital makes a help text a sentence.
func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] + "." }
