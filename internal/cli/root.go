package cli

import (
	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/built"
	"github.com/ipe-linux/ipe/internal/cli/files"
	"github.com/ipe-linux/ipe/internal/cli/machine"
	"github.com/ipe-linux/ipe/internal/cli/policies"
	"github.com/ipe-linux/ipe/internal/cli/profiles"
	"github.com/ipe-linux/ipe/internal/cli/records"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/cli/ui/daemon"
	"github.com/ipe-linux/ipe/internal/cli/volumes"
)

// root builds the command tree.
func root(u *ui.UI) *cobra.Command {
	u.Version = built.Version()
	iped := daemon.New(u)
	root := u.Group("ipe", "Integrity Policy Enforcement: author, sign, deploy and watch policies",
		"ipe writes, signs and deploys IPE policies and asks iped what they do.\n\n"+
			"Exit status: 0 done or valid, 1 refused or invalid, 2 wrong usage, 3 iped does not answer,\n"+
			"4 refused, since code that runs now would be denied; of ipe status --check, not proven.", nil)
	root.Version = u.Version
	root.SetVersionTemplate("ipe {{.Version}}\n")
	iped.Flag(root.PersistentFlags())
	root.AddCommand(policies.Command(iped), profiles.Command(iped), files.Command(u), volumes.Command(u), version(u), man())
	root.AddCommand(machine.Commands(iped)...)
	root.AddCommand(records.Commands(iped)...)
	root.Flags().BoolP("version", "v", false, "print the version and exit")
	completions(u, root)
	root.SetHelpCommand(help())
	return root
}

// help explains the command that is named, and says so if there is none: cobra's own would
// explain ipe instead, and succeed.
func help() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND...]", Short: "Explain a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			named, rest, err := cmd.Root().Find(args)
			switch {
			case err != nil:
				return ui.Usage(cmd, "%w", err)
			case len(rest) > 0:
				return ui.UnknownCommand(named, rest[0])
			}
			return named.Help()
		},
	}
}

// completions keeps the shells of cobra's own command that there are on Linux, without
// its words on other systems.
func completions(u *ui.UI, root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() != "completion" {
			continue
		}
		group := u.Group(cmd.Name(), "Print what lets a shell complete commands", "", nil)
		cmd.Short, cmd.Long, cmd.Args, cmd.RunE = group.Short, group.Long, group.Args, group.RunE
		for _, shell := range cmd.Commands() {
			shell.Short, shell.Long = "Print it for "+shell.Name(), ""
			shell.Args = ui.None
			shell.PreRunE = func(cmd *cobra.Command, _ []string) error {
				if u.JSON {
					return ui.Usage(cmd, "the result is a script, there is no --json")
				}
				return nil
			}
			if shell.Name() == "powershell" {
				cmd.RemoveCommand(shell)
			}
		}
	}
}
