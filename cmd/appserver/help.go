package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/appserver-go/appserver/config"
)

// helpSections returns the usage of fs's flags under the headings of the settings' sections and in the table's order.
// Flags that are no settings come first.
func helpSections(fs *pflag.FlagSet) string {
	const other = config.Section("Flags")
	groups := map[config.Section]*pflag.FlagSet{}
	add := func(section config.Section, f *pflag.Flag) {
		if groups[section] == nil {
			groups[section] = pflag.NewFlagSet("", pflag.ContinueOnError)
			groups[section].SortFlags = false
		}
		groups[section].AddFlag(f)
	}
	fs.VisitAll(func(f *pflag.Flag) {
		if _, ok := f.Value.(*flagValue); !ok {
			add(other, f)
		}
	})
	for _, s := range config.Settings() {
		if f := fs.Lookup(s.Flag()); f != nil {
			add(s.Section, f)
		}
	}
	var parts []string
	for _, section := range append([]config.Section{other}, config.Sections()...) {
		if group := groups[section]; group != nil && group.HasAvailableFlags() {
			parts = append(parts, fmt.Sprintf("%s:\n%s", section, group.FlagUsages()))
		}
	}
	return strings.Join(parts, "\n")
}

// setSectionHelp makes cmd show its flags by sections.
func setSectionHelp(cmd *cobra.Command) {
	cmd.SetUsageFunc(func(c *cobra.Command) error {
		_, err := fmt.Fprintf(c.OutOrStderr(), "Usage:\n  %s\n\n%s", c.UseLine(), helpSections(c.LocalFlags()))
		return err
	})
}

// nearestFlag returns the flag of cmd that an error of pflag about an unknown one most likely means, without dashes, or "".
func nearestFlag(cmd *cobra.Command, text string) string {
	word, ok := strings.CutPrefix(text, "unknown flag: --")
	if !ok {
		return ""
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	return config.Suggest(word, names)
}
