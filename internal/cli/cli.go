// Package cli is the ipe command: one file a subcommand, each working on the
// readers and writers it is given.
package cli

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/cli/ui/daemon"
	"github.com/ipe-linux/ipe/internal/controlrpc"
)

// app is what subcommands share.
type app struct{ *daemon.Asker }

// Main runs one command line, without the program's name, and returns the exit
// code. It reads the environment variables NO_COLOR, TERM, IPE_SOCKET,
// IPE_KEY_PASSPHRASE, IPE_PIN and PKCS11_MODULE_PATH.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return ui.Main(args, stdin, stdout, stderr, root)
}

// root builds the command tree.
func root(u *ui.UI) *cobra.Command {
	u.Version, u.Errno = controlrpc.BuildVersion(), controlrpc.KnownSymbol
	return (&app{Asker: daemon.New(u)}).root()
}
