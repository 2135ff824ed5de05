// Package records is the commands that show what was decided and changed: events asks iped
// for it, and audit reads it from logs.
package records

import (
	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/cli/ui/daemon"
)

// app is what the commands of this room share.
type app struct{ *daemon.Asker }

// Commands returns the commands of this room.
func Commands(d *daemon.Asker) []*cobra.Command {
	a := &app{d}
	return []*cobra.Command{a.events(), a.audit()}
}
