// Command iped deploys signed policies to the engine that enforces them, keeps
// them across reboots, and tells on a Unix socket what it knows. It does not take
// part in decisions: those are the kernel's, and go on when iped ends.
package main

import (
	"os"

	"github.com/ipe-linux/ipe/internal/daemon"
)

func main() {
	os.Exit(daemon.Main(os.Args, os.Stdout, os.Stderr))
}
