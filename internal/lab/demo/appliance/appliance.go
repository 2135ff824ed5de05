//go:build linux

// Package appliance makes the firewall that the demonstration boots, with the
// tools an owner would use: nftables from the distribution's packages on a
// squashfs volume sealed with dm-verity, an owner's key, policies signed with the
// ipe command, and a disk for what survives a reboot. Beside the good parts it makes
// their forgeries: a damaged volume, a re-made one, policies that nobody should accept.
//
// Everything is written below one directory; nothing is installed on the host.
package appliance

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/ipe-linux/ipe/internal/lab/vm"
)

// Appliance is what is the same for every kernel.
type Appliance struct {
	// Dir holds all files.
	Dir string
	// Ipe, Iped and Agent are static programs of this module.
	Ipe, Iped, Agent string
	// Service is the sealed volume; Damaged is a copy with one flipped byte in nft.
	// Remade is another volume, with another nft, sealed properly.
	Service, Damaged, Remade Volume
}

// module is the import path of the programs' module.
const module = "github.com/ipe-linux/ipe"

// Build makes an appliance below dir. Step is called as each part begins.
func Build(ctx context.Context, dir string, step func(format string, args ...any)) (*Appliance, error) {
	a := &Appliance{Dir: dir, Ipe: filepath.Join(dir, "ipe"), Iped: filepath.Join(dir, "iped"), Agent: filepath.Join(dir, "agent")}
	step("build static ipe, iped and the guest's agent")
	err := vm.GoCommand(ctx, "build", "-trimpath", "-ldflags=-s -w", "-o", dir+"/",
		module+"/cmd/ipe", module+"/cmd/iped", module+"/internal/lab/demo/agent")
	if err != nil {
		return nil, err
	}
	step("unpack nftables and the libraries it needs from %s packages", distribution())
	root, err := fetchPackages(ctx, "nftables")
	if err != nil {
		return nil, err
	}
	step("seal it in a squashfs volume with dm-verity")
	if err := a.buildVolumes(ctx, root); err != nil {
		return nil, fmt.Errorf("build volumes: %w", err)
	}
	return a, nil
}

// distribution is the host's name for itself.
func distribution() string {
	text, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "the host's"
	}
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
			return strings.Trim(strings.TrimSpace(name), `"`)
		}
	}
	return "the host's"
}

// run runs a tool of the host and gives its standard output. What it says on standard
// error, where apt puts its warnings, is part of the error.
func run(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	if path, err := exec.LookPath(filepath.Join("/usr/sbin", name)); cmd.Err != nil && err == nil {
		cmd.Path, cmd.Err = path, nil
	}
	cmd.Dir = dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("run %s: %w: %s", name, err, strings.TrimSpace(string(out)+stderr.String()))
	}
	return string(out), nil
}

// write writes one file and the directories above it.
func write(name string, data []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, data, mode)
}
