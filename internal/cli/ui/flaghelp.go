package ui

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// shownFlags makes the help of a command show its switches without a value: pflag adds
// "[=true|false]" to each, which says nothing to people and hides the rest.
func shownFlags(root *cobra.Command) {
	cobra.AddTemplateFunc("flagLines", flagLines)
	root.SetUsageTemplate(strings.NewReplacer(
		".LocalFlags.FlagUsages", "flagLines .LocalFlags",
		".InheritedFlags.FlagUsages", "flagLines .InheritedFlags",
	).Replace(root.UsageTemplate()))
}

// flagLines are the lines of help about flags.
func flagLines(flags *pflag.FlagSet) string {
	shown := pflag.NewFlagSet("", pflag.ContinueOnError)
	shown.SortFlags = flags.SortFlags
	flags.VisitAll(func(f *pflag.Flag) {
		line := *f
		if f.Value.Type() == "bool" {
			line.Value = toggle{f.Value}
		}
		shown.AddFlag(&line)
	})
	return shown.FlagUsages()
}

// toggle is a boolean flag of which pflag shows the name alone.
type toggle struct{ pflag.Value }

// Type is that of boolean flags whose values pflag does not know.
func (toggle) Type() string { return "boolfunc" }

// IsBoolFlag says that the flag needs no value.
func (toggle) IsBoolFlag() bool { return true }

// LikePeer gives a group the help of its peer: -h is help nowhere in it. fsverity(1) has no
// short flags, and veritysetup(8) has -h for --hash: a script would be told that all is
// done, and nothing was.
func LikePeer(cmd *cobra.Command, short string) {
	cmd.PersistentFlags().BoolP("help", short, false, "show this help")
}
