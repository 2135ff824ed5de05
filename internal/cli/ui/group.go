package ui

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/plain"
)

// Group returns a command that only holds others. Instead has words that people try in
// place of them, each with the command that does that here.
func (u *UI) Group(use, short, long string, instead map[string]string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: long, Annotations: instead,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return UnknownCommand(cmd, args[0])
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if u.JSON {
				return Usage(cmd, "%s wants a command", cmd.CommandPath())
			}
			cmd.SetOut(u.stderr)
			if err := cmd.Help(); err != nil {
				return err
			}
			return Exit(ExitUsage, ErrSaid, "")
		},
	}
}

// nearness is how many letters a suggestion may be away from what was typed.
const nearness = 2

// UnknownCommand is the error of a command that a group lacks, with what was meant most
// likely.
func UnknownCommand(group *cobra.Command, name string) error {
	group.SuggestionsMinimumDistance = nearness
	err := Usage(group, "%s: no command %s", group.CommandPath(), plain.Name(name))
	if other := otherWord(group, name); other != "" {
		return Exit(ExitUsage, err, other)
	}
	if near := group.SuggestionsFor(name); len(near) > 0 {
		return Exit(ExitUsage, err, fmt.Sprintf("did you mean %s %s?", group.CommandPath(), near[0]))
	}
	return err
}

// otherWord says what to do instead of a command that is not there. What only has letters
// in front of a command, such as deactivate, means something else, mostly the contrary.
func otherWord(group *cobra.Command, name string) string {
	if text := group.Annotations[name]; text != "" {
		return text
	}
	for _, sub := range group.Commands() {
		if name != sub.Name() && strings.HasSuffix(name, sub.Name()) {
			return fmt.Sprintf("see %s --help", group.CommandPath())
		}
	}
	return ""
}

// Exactly demands n arguments; names are for the message.
func Exactly(n int, names string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return Usage(cmd, "%s wants %s, got %d arguments", cmd.CommandPath(), names, len(args))
		}
		return nil
	}
}

// None demands that there are no arguments.
func None(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return Usage(cmd, "%s takes no arguments, got %s", cmd.CommandPath(), plain.Name(args[0]))
	}
	return nil
}

// Some demands at least one argument.
func Some(names string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return Usage(cmd, "%s wants %s", cmd.CommandPath(), names)
		}
		return nil
	}
}
