//go:build linux

// Command fetch brings the kernels of the test guests, and the tools of auditd, udev
// and file systems, into the cache.
//
//	fetch [-update]
//
// With -update it asks the package archive for newer ones; otherwise a kernel that
// is in the cache is left as it is, and a full cache needs no network.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/ipe-linux/ipe/internal/lab/vm/debian"
)

func main() {
	update := flag.Bool("update", false, "ask the archive for newer kernels")
	flag.Parse()
	if err := fetch(context.Background(), *update); err != nil {
		fmt.Fprintln(os.Stderr, "fetch: error:", err)
		os.Exit(1)
	}
}

func fetch(ctx context.Context, update bool) error {
	find := debian.FindKernel
	if update {
		find = debian.UpdateKernel
	}
	for _, name := range debian.KernelNames() {
		k, err := find(ctx, name)
		if err != nil {
			return err
		}
		fmt.Printf("kernel %-6s %s\n", k.Name, k.Dir)
	}
	for _, packages := range [][]string{debian.AuditTools(), debian.UdevTools(), debian.BtrfsTools(), debian.ErofsTools(), debian.XfsTools()} {
		dir, err := debian.Unpacked(ctx, packages...)
		if err != nil {
			return err
		}
		fmt.Printf("tools         %s\n", dir)
	}
	return nil
}
