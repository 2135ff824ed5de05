package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/controlrpc"
)

// root builds the command tree.
func (a *app) root() *cobra.Command {
	root := a.group("ipe", "Integrity Policy Enforcement: author, sign, deploy and watch policies",
		"ipe writes, signs and deploys IPE policies and asks iped what they do.\n\n"+
			"Exit status: 0 done or valid, 1 refused or invalid, 2 wrong usage, 3 iped does not answer,\n"+
			"4 refused, since code that runs now would be denied; of ipe status --check, not proven.")
	root.Version = controlrpc.BuildVersion()
	root.SetVersionTemplate("ipe {{.Version}}\n")
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(flagError)
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print results as JSON")
	root.PersistentFlags().StringVar(&a.socket, "socket", a.defaultSocket(), "where iped listens; also IPE_SOCKET")
	root.AddCommand(a.policy(), a.fsverity(), a.dmverity(), a.mode(), a.status(), a.doctor(), a.events(), a.audit(), a.version(), a.man())
	root.Flags().BoolP("version", "v", false, "print the version and exit")
	shownFlags(root)
	a.completions(root)
	root.SetHelpCommand(a.help())
	return root
}

// help explains the command that is named, and says so if there is none: cobra's own would
// explain ipe instead, and succeed.
func (a *app) help() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND...]", Short: "Explain a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			named, rest, err := cmd.Root().Find(args)
			switch {
			case err != nil:
				return usage(cmd, "%w", err)
			case len(rest) > 0:
				return unknownCommand(named, rest[0])
			}
			return named.Help()
		},
	}
}

// completions keeps the shells of cobra's own command that there are on Linux, without
// its words on other systems.
func (a *app) completions(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() != "completion" {
			continue
		}
		group := a.group(cmd.Name(), "Print what lets a shell complete commands", "")
		cmd.Short, cmd.Long, cmd.Args, cmd.RunE = group.Short, group.Long, group.Args, group.RunE
		for _, shell := range cmd.Commands() {
			shell.Short, shell.Long = "Print it for "+shell.Name(), ""
			shell.Args = none
			shell.PreRunE = func(cmd *cobra.Command, _ []string) error {
				if a.json {
					return usage(cmd, "the result is a script, there is no --json")
				}
				return nil
			}
			if shell.Name() == "powershell" {
				cmd.RemoveCommand(shell)
			}
		}
	}
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
		a.load(), a.preflight(), a.activate(), a.update(), a.remove(), a.list())
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
			if a.json {
				return usage(cmd, "%s wants a command", cmd.CommandPath())
			}
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

// otherWords are commands of a group that people look for, and what does that here.
var otherWords = map[string]map[string]string{
	"policy": {
		"deactivate": "one policy is always replaced by another: ipe policy activate; ipe mode permissive stops denials",
		"disable":    "ipe mode permissive stops denials",
		"unload":     "ipe policy delete NAME", "remove": "ipe policy delete NAME", "rm": "ipe policy delete NAME",
		"deploy": "ipe policy load FILE.p7b", "install": "ipe policy load FILE.p7b", "add": "ipe policy load FILE.p7b",
		"enable": "ipe policy activate NAME", "lint": "ipe policy check FILE", "validate": "ipe policy check FILE",
		"inspect": "ipe policy show FILE.p7b",
	},
	"fsverity": {"disable": "fs-verity cannot be taken away from a file: replace the file by a copy"},
}

// otherWord says what to do instead of a command that is not there. What only has letters
// in front of a command, such as deactivate, means something else, mostly the contrary.
func otherWord(cmd *cobra.Command, name string) string {
	if text := otherWords[cmd.Name()][name]; text != "" {
		return text
	}
	for _, sub := range cmd.Commands() {
		if name != sub.Name() && strings.HasSuffix(name, sub.Name()) {
			return fmt.Sprintf("see %s --help", cmd.CommandPath())
		}
	}
	return ""
}

func unknownCommand(cmd *cobra.Command, name string) error {
	cmd.SuggestionsMinimumDistance = nearness
	err := usage(cmd, "%s: no command %q", cmd.CommandPath(), name)
	if other := otherWord(cmd, name); other != "" {
		return &exitError{code: ExitUsage, err: err, hint: other}
	}
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
