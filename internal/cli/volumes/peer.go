package volumes

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ipe-linux/ipe/internal/cli/ui"
)

// Short flags of veritysetup(8) that would mean something else here by default.
const (
	shortHelp    = "?"
	shortVersion = "V"
)

// peerFlags are what veritysetup(8) takes with every command.
func (a *app) peerFlags(cmd *cobra.Command) {
	ui.LikePeer(cmd, shortHelp)
	fl := cmd.PersistentFlags()
	fl.BoolP("version", shortVersion, false, "print the version of this program")
	fl.BoolFunc("usage", "as --help", func(string) error { return fl.Set("help", "true") })
	fl.BoolVarP(&a.verbose, "verbose", "v", false, "say that a command was successful")
	fl.BoolVar(&a.debug, "debug", false, "say what is done, in lines that begin with #")
	fl.BoolP("batch-mode", "q", false, "ask nothing, which is always so")
	cmd.PersistentPreRun = func(cmd *cobra.Command, args []string) {
		a.trace("ipe %s: %s %s", a.Version, cmd.CommandPath(), strings.Join(args, " "))
	}
	cmd.PersistentPostRun = func(*cobra.Command, []string) {
		if a.verbose || a.debug {
			a.Say("done", "Command successful.")
		}
	}
	for _, c := range append(cmd.Commands(), cmd) {
		c.Version = a.Version
	}
	flagsBefore(cmd)
}

// flagsBefore lets the flags of the commands of a group stand before the command, as
// veritysetup(8) has it: the group must know which of them have values.
func flagsBefore(group *cobra.Command) {
	for _, c := range group.Commands() {
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if group.Flags().Lookup(f.Name) == nil && group.PersistentFlags().Lookup(f.Name) == nil {
				hidden := *f
				hidden.Hidden = true
				group.Flags().AddFlag(&hidden)
			}
		})
	}
}
