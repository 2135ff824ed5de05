package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/controlrpc"
)

// root builds the command tree.
func (a *app) root() *cobra.Command {
	root := a.group("ipe", "Integrity Policy Enforcement: author, sign, deploy and watch policies",
		"ipe writes, signs and deploys IPE policies and asks iped what they do.\n\n"+
			"Exit status: 0 done or valid, 1 refused or invalid, 2 wrong usage, 3 iped does not answer.")
	root.Version = controlrpc.BuildVersion()
	root.SetVersionTemplate("ipe {{.Version}}\n")
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usage(cmd, "%w", err) })
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print results as JSON")
	root.PersistentFlags().StringVar(&a.socket, "socket", a.defaultSocket(), "where iped listens; also IPE_SOCKET")
	root.AddCommand(a.policy(), a.fsverity(), a.dmverity(), a.mode(), a.status(), a.doctor(), a.events(), a.audit(), a.version(), a.man())
	return root
}

func (a *app) defaultSocket() string {
	if s := a.getenv("IPE_SOCKET"); s != "" {
		return s
	}
	return controlrpc.DefaultSocket
}

// policy is the group of commands about policies.
func (a *app) policy() *cobra.Command {
	cmd := a.group("policy", "Check, format, sign and deploy policies", "")
	cmd.AddCommand(a.check(), a.format(), a.explain(), a.sign(), a.verify(), a.show(),
		a.load(), a.activate(), a.update(), a.remove(), a.list())
	return cmd
}

// group returns a command that only holds others.
func (a *app) group(use, short, long string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: long,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return unknownCommand(cmd, args[0])
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SetOut(a.stderr)
			if err := cmd.Help(); err != nil {
				return err
			}
			return &exitError{code: ExitUsage, err: errSaid}
		},
	}
}

// nearness is how many letters a suggestion may be away from what was typed.
const nearness = 2

func unknownCommand(cmd *cobra.Command, name string) error {
	cmd.SuggestionsMinimumDistance = nearness
	err := usage(cmd, "%s: no command %q", cmd.CommandPath(), name)
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		return &exitError{code: ExitUsage, err: err, hint: fmt.Sprintf("did you mean %s %s?", cmd.CommandPath(), near[0])}
	}
	return err
}

// exactly demands n arguments; names are for the message.
func exactly(n int, names string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usage(cmd, "%s wants %s, got %d arguments", cmd.CommandPath(), names, len(args))
		}
		return nil
	}
}

// none demands that there are no arguments.
func none(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage(cmd, "%s takes no arguments, got %q", cmd.CommandPath(), args[0])
	}
	return nil
}

// some demands at least one argument.
func some(names string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usage(cmd, "%s wants %s", cmd.CommandPath(), names)
		}
		return nil
	}
}
