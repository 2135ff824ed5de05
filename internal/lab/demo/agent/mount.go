//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/lab/demo/row"
)

// Mount points. Service is the root directory of everything that nft does.
const (
	state   = "/state"
	service = "/service"
	damaged = "/damaged"
	remade  = "/remade"
	// Scripts of the site are on the state disk; nft sees them here.
	site = service + "/srv"
	// temporary is a tmpfs that everybody may write to.
	temporary = service + "/tmp"
)

// mountAll brings up the file systems of the appliance.
func (a *agent) mountAll(ctx context.Context) error {
	if err := mount(row.StateDisk, state, "ext4", 0); err != nil {
		return err
	}
	// dm-verity looks for the signature's key in the session's keyring.
	if _, err := unix.KeyctlInt(unix.KEYCTL_LINK, unix.KEY_SPEC_USER_KEYRING, unix.KEY_SPEC_SESSION_KEYRING, 0, 0); err != nil {
		return fmt.Errorf("link keyring: %w", err)
	}
	var signature []string
	if a.setup.Signed {
		signature = []string{"--root-hash-signature=" + row.SignaturePath}
	}
	for _, v := range []struct {
		disk, at, root string
		extra          []string
	}{
		{row.ServiceDisk, service, a.setup.Root, signature},
		{row.DamagedDisk, damaged, a.setup.Root, signature},
		{row.RemadeDisk, remade, a.setup.Remade, nil},
	} {
		if err := a.openVolume(ctx, v.disk, v.at, v.root, v.extra); err != nil {
			return err
		}
	}
	if err := mount("tmpfs", temporary, "tmpfs", 0); err != nil {
		return err
	}
	// nft reads its standard input through these two.
	if err := mount("/dev", service+"/dev", "", unix.MS_BIND); err != nil {
		return err
	}
	if err := mount("proc", service+"/proc", "proc", 0); err != nil {
		return err
	}
	return mount(state+"/site", site, "", unix.MS_BIND)
}

// openVolume sets up dm-verity for a disk and mounts what is on it.
func (a *agent) openVolume(ctx context.Context, disk, at, root string, extra []string) error {
	name := strings.TrimPrefix(at, "/")
	args := []string{"open", disk, name, disk, root, "--hash-offset=" + strconv.FormatInt(a.setup.HashOffset, 10)}
	if _, err := tool(ctx, "veritysetup", append(args, extra...)...); err != nil {
		return err
	}
	return mount("/dev/mapper/"+name, at, "squashfs", unix.MS_RDONLY)
}

func mount(source, at, kind string, flags uintptr) error {
	if err := os.MkdirAll(at, 0o755); err != nil {
		return fmt.Errorf("mount %s: %w", at, err)
	}
	if err := unix.Mount(source, at, kind, flags, ""); err != nil {
		return fmt.Errorf("mount %s at %s: %w", source, at, err)
	}
	return nil
}

// tool runs a program of the initramfs and gives what it printed.
func tool(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "DM_DISABLE_UDEV=1") // nobody else makes device nodes here
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("run %s %s: %w: %s", name, args[0], err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}
