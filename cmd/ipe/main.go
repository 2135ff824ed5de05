// Command ipe authors, signs and deploys Integrity Policy Enforcement policies
// and asks iped what they do.
package main

import (
	"os"

	"github.com/ipe-linux/ipe/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
