//go:build linux

// Command demo shows the whole product at work, on real kernels in virtual
// machines: a sealed firewall appliance boots, its owner's signed policy is deployed
// with ipe and iped, and everything that such a policy is about is tried.
//
//	go run ./internal/lab/demo [--kernel 6.1] [--json] [--keep DIR] [-v]
//
// For each attempt it prints what the policy says, what the kernel answered and
// which rule decided. The policy's word is that of package eval on evidence that the
// guest's own tools gathered; the answer is what a process got; the rule is from
// the engine's record of the decision. The exit status is 0 only if all of them
// agree with each other and with what the case demands.
//
// The parts: package appliance makes the disks and policies, program agent runs in
// the guest, package row is what they say to each other, and this program boots the
// guests and prints the table. The guest is booted twice on the same disk, for the
// second time to show what survives.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/ipe-linux/ipe/internal/lab/vm/debian"
)

// options is the command line.
type options struct {
	// kernels to run, of debian.KernelNames.
	kernels []string
	// json prints rows as JSON, one a line, and everything else elsewhere.
	json bool
	// keep is where all files stay; empty for a directory that is removed.
	keep string
	// verbose shows the guest's kernel log and iped's, too.
	verbose bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is main with its surroundings as parameters. Exit codes are 0 if every row is
// as demanded, 1 if not and 2 for a wrong command line.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parseOptions(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "demo: error: %v\n", err)
		return 2
	}
	rows, err := demonstrate(ctx, o, stdout, stderr)
	if err != nil {
		fmt.Fprintf(stderr, "demo: error: %v\n", err)
		return 1
	}
	for _, r := range rows {
		if !r.OK {
			return 1
		}
	}
	return 0
}

func parseOptions(args []string, stderr io.Writer) (options, error) {
	o := options{kernels: debian.KernelNames()}
	fs := flag.NewFlagSet("demo", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Func("kernel", "run on this `series` only: "+strings.Join(debian.KernelNames(), " or "), func(name string) error {
		if !slices.Contains(debian.KernelNames(), name) {
			return debian.ErrUnknownKernel
		}
		o.kernels = []string{name}
		return nil
	})
	fs.BoolVar(&o.json, "json", false, "print the rows as JSON, one a line, and all else to standard error")
	fs.StringVar(&o.keep, "keep", "", "keep disks, policies and logs in this `directory`")
	fs.BoolVar(&o.verbose, "v", false, "show the guest's kernel log and that of iped")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("no arguments are taken, got %q", fs.Arg(0))
	}
	return o, nil
}
