package ui

import (
	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/policy"
)

// Choices lets shells complete the value of a flag from a list.
func Choices(cmd *cobra.Command, flag string, values ...string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// Operations are the names of all operations, for help and completion.
func Operations() []string {
	var names []string
	for _, op := range policy.Ops() {
		names = append(names, op.String())
	}
	return names
}
