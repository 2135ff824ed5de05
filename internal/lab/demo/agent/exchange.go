//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/lab/demo/row"
	"github.com/ipe-linux/ipe/verity/dmverity"
)

// exchanged is a device whose table is exchanged under what is mounted from it.
const exchanged = "/exchanged"

// exchangeTable mounts the re-made volume, unverified, has the kernel cache its nft, and
// puts the table of the sealed volume in the place of its own: the kernel says of what it
// has cached that it is the sealed volume's.
func (a *agent) exchangeTable(ctx context.Context) error {
	name := strings.TrimPrefix(exchanged, "/")
	if unix.Unmount(exchanged, 0) == nil { // that of the last time
		if _, err := tool(ctx, "dmsetup", "remove", name); err != nil {
			return err
		}
	}
	table, err := a.sealedTable(ctx)
	if err != nil {
		return err
	}
	sealed, err := table.Line()
	if err != nil {
		return err
	}
	bare := fmt.Sprintf("0 %d linear %s 0", table.Sectors(), row.RemadeDisk)
	if _, err := tool(ctx, "dmsetup", "create", "--readonly", name, "--table", bare); err != nil {
		return err
	}
	if err := mount("/dev/mapper/"+name, exchanged, "squashfs", unix.MS_RDONLY); err != nil {
		return err
	}
	if _, err := os.ReadFile(exchanged + nft); err != nil {
		return fmt.Errorf("have it cached: %w", err)
	}
	if _, err := tool(ctx, "dmsetup", "load", "--readonly", name, "--table", sealed); err != nil {
		return err
	}
	_, err = tool(ctx, "dmsetup", "resume", name)
	return err
}

// sealedTable is the table of the service's volume, with the signature if it has one.
func (a *agent) sealedTable(ctx context.Context) (table dmverity.Table, err error) {
	live, err := tool(ctx, "dmsetup", "table", strings.TrimPrefix(service, "/"))
	if err != nil {
		return table, err
	}
	_, params, _ := strings.Cut(live, " verity ")
	if table, err = dmverity.ParseParams(params); err != nil || !a.setup.Signed {
		return table, err
	}
	signature, err := os.ReadFile(row.SignaturePath)
	if err != nil {
		return table, err
	}
	// The kernel looks for it in the keyrings of whoever loads the table.
	table.SignatureKey = "exchanged"
	if _, err := unix.AddKey("user", table.SignatureKey, signature, unix.KEY_SPEC_USER_KEYRING); err != nil {
		return table, fmt.Errorf("add key: %w", err)
	}
	return table, nil
}

// mapExchanged maps code that was cached before the table was another one.
func mapExchanged() error {
	f, err := os.Open(exchanged + nft)
	if err != nil {
		return fmt.Errorf("open: %s", err) //nolint:errorlint // it is not the answer
	}
	defer f.Close()
	_, err = unix.Mmap(int(f.Fd()), 0, unix.Getpagesize(), unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE)
	return err
}
