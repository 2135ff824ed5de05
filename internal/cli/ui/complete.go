package ui

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ipe-linux/ipe/policy"
)

// Choices lets shells complete the value of a flag from a list.
func Choices(cmd *cobra.Command, flag string, values ...string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// bareUsage takes the backquotes from what is said of flags. They mark the name of a value
// for help, and shells would show them.
func bareUsage(cmd *cobra.Command) {
	bare := func(f *pflag.Flag) { _, f.Usage = pflag.UnquoteUsage(f) }
	cmd.Flags().VisitAll(bare)
	cmd.PersistentFlags().VisitAll(bare)
	for _, sub := range cmd.Commands() {
		bareUsage(sub)
	}
}

// Operations are the names of all operations, for help and completion.
func Operations() []string {
	var names []string
	for _, op := range policy.Ops() {
		names = append(names, op.String())
	}
	return names
}
