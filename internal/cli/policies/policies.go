// Package policies is the commands about policies: their texts, signed messages of them, and
// what iped has of them.
package policies

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

// Command returns the group of commands about policies.
func Command(d *daemon.Asker) *cobra.Command {
	a := &app{d, texts.Policies(d.UI)}
	cmd := a.Group("policy", "Check, format, sign and deploy policies", "", otherWords())
	cmd.AddCommand(a.check(), a.texts.Format(), a.explain(), a.texts.Sign(), a.texts.Verify(), a.show(),
		a.load(), a.preflight(), a.activate(), a.update(), a.remove(), a.list())
	return cmd
}

// otherWords are words that people try as commands about policies, each with the command
// that does that here.
func otherWords() map[string]string {
	return map[string]string{
		"deactivate": "one policy is always replaced by another: ipe policy activate; ipe mode permissive stops denials",
		"disable":    "ipe mode permissive stops denials",
		"unload":     "ipe policy delete NAME", "remove": "ipe policy delete NAME", "rm": "ipe policy delete NAME",
		"deploy": "ipe policy load FILE.p7b", "install": "ipe policy load FILE.p7b", "add": "ipe policy load FILE.p7b",
		"enable": "ipe policy activate NAME", "lint": "ipe policy check FILE", "validate": "ipe policy check FILE",
		"inspect": "ipe policy show FILE.p7b",
	}
}
