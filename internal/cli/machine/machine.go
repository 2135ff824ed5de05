// Package machine is the commands about this machine: mode and status ask iped what is in
// force, reload has it read anew what has changed, and doctor looks at what the kernel can do and what a guarded boot needs.
package machine

import (
	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/cli/ui/daemon"
)

// app is what the commands of this room share.
type app struct{ *daemon.Asker }

// Commands returns the commands of this room.
func Commands(d *daemon.Asker) []*cobra.Command {
	a := &app{d}
	return []*cobra.Command{a.mode(), a.status(), a.reload(), a.doctor()}
}
