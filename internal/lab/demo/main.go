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
// second time to show what survives. iped is strict in both. At the end of the second, the
// techniques that strict is about are tried once more with compat; the kernel's own IPE, if
// it has one, was asked before iped started.
package main

import (
	"context"
	"flag"
	"io"
	"slices"
	"strings"

	"github.com/ipe-linux/ipe/internal/lab/program"
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

func main() { program.Main(demo().Run) }

// demo is the program: it is proven if every row is as demanded.
func demo() program.Proof[options] {
	return program.Proof[options]{
		Name:  "demo",
		Flags: flags,
		Prove: func(ctx context.Context, o options, stdout, stderr io.Writer) (bool, error) {
			rows, err := demonstrate(ctx, o, stdout, stderr)
			for _, r := range rows {
				if !r.OK {
					return false, err
				}
			}
			return true, err
		},
	}
}

func flags(fs *flag.FlagSet) *options {
	o := &options{kernels: debian.KernelNames()}
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
	return o
}
