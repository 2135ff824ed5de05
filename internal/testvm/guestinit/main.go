//go:build linux

// Command guestinit is the first process of a test guest. It mounts the kernel's
// file systems, loads the kernel modules asked for, runs one command, sends what
// the command writes and its exit status to the host, and powers off.
//
// It stays on the initramfs, whose files are boot_verified, and never changes root.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/testvm/wire"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "guestinit: error: runs as process 1 of a test guest only")
		os.Exit(2)
	}
	if err := boot(); err != nil {
		// The host reads it on the console, there being no other way.
		fmt.Fprintln(os.Stderr, "guestinit: error:", err)
	}
	unix.Sync()
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

// boot does all the work; an error is one that could not be sent to the host.
func boot() error {
	if err := mountAll(); err != nil {
		return err
	}
	line, err := openLine(wire.Device)
	if err != nil {
		return err
	}
	frames, err := wire.NewWriter(line)
	if err != nil {
		return err
	}
	status, err := work(frames)
	unix.Sync()
	if err != nil {
		err = frames.Write(wire.Fault, []byte(err.Error()))
	} else {
		err = frames.WriteExit(status)
	}
	if err != nil {
		return err
	}
	return drain(line)
}

// work prepares the guest and runs the command of the spec.
func work(frames *wire.Writer) (int, error) {
	text, err := os.ReadFile(wire.SpecPath)
	if err != nil {
		return 0, fmt.Errorf("read spec: %w", err)
	}
	var spec wire.Spec
	if err := json.Unmarshal(text, &spec); err != nil {
		return 0, fmt.Errorf("read spec: %w", err)
	}
	for _, m := range spec.Modules {
		if err := loadModule(m); err != nil {
			return 0, err
		}
	}
	if err := loopbackUp(); err != nil {
		return 0, err
	}
	if err := logEverything(); err != nil {
		return 0, err
	}
	if len(spec.Args) == 0 {
		return 0, nil
	}
	return run(spec, frames)
}
