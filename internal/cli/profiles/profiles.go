// Package profiles is the commands about profiles: their texts, signed messages of them, and
// the one that is in force.
package profiles

import (
	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/cli/ui/daemon"
	"github.com/ipe-linux/ipe/internal/cli/ui/texts"
)

// app is what the commands of this room share.
type app struct {
	*daemon.Asker
	texts *texts.Room
}

// Command returns the group of commands about profiles.
func Command(d *daemon.Asker) *cobra.Command {
	a := &app{d, texts.Profiles(d.UI)}
	cmd := a.Group("profile", "Check, sign and load profiles: what is asked beyond the policy", "", otherWords())
	cmd.AddCommand(
		a.check(),
		a.texts.Format(),
		a.texts.Sign(),
		a.texts.Verify(),
		a.load(),
		a.show(),
	)
	return cmd
}

// otherWords are words that people try as commands about profiles, each with the command
// that does that here.
func otherWords() map[string]string {
	return map[string]string{
		"explain": "ipe profile check --explain FILE",
		"lint":    "ipe profile check FILE", "validate": "ipe profile check FILE",
	}
}
