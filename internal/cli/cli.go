// Package cli is the ipe command: it builds the command tree, of rooms that each have the
// commands about one noun. How they talk is package ui's.
package cli

import (
	"io"

	"github.com/ipe-linux/ipe/internal/cli/ui"
)

// Main runs one command line, without the program's name, and returns the exit
// code. It reads the environment variables NO_COLOR, TERM, IPE_SOCKET,
// IPE_KEY_PASSPHRASE, IPE_PIN and PKCS11_MODULE_PATH.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return ui.Main(args, stdin, stdout, stderr, root)
}
