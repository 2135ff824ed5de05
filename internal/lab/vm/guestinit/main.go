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
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/lab/vm/wire"
)

// besideEnv tells the process that does the work beside another process 1.
const besideEnv = "TESTVM_BESIDE_INIT"

func main() {
	beside := os.Getenv(besideEnv) != ""
	if os.Getpid() != 1 && !beside {
		fmt.Fprintln(os.Stderr, "guestinit: error: runs as process 1 of a test guest only")
		os.Exit(2)
	}
	if err := boot(beside); err != nil {
		// The host reads it on the console, there being no other way.
		fmt.Fprintln(os.Stderr, "guestinit: error:", err)
	}
	unix.Sync()
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

// boot does all the work; an error is one that could not be sent to the host.
func boot(beside bool) error {
	if !beside {
		if err := mountAll(); err != nil {
			return err
		}
	}
	line, err := openLine(wire.Device)
	if err != nil {
		return err
	}
	spec, err := guestSpec(line)
	if err == nil && len(spec.Init) > 0 && !beside {
		err = giveWay(spec.Init) // returns only with an error
	}
	frames, startErr := wire.NewWriter(line)
	if startErr != nil {
		return startErr
	}
	var status int
	if err == nil {
		status, err = work(spec, frames)
	}
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

// guestSpec is the work of this guest; a template becomes one first.
func guestSpec(line *os.File) (wire.Spec, error) {
	spec, err := readSpec()
	if err != nil || !spec.Template {
		return spec, err
	}
	if err := becomeGuest(spec, line); err != nil {
		return spec, err
	}
	return readSpec()
}

func readSpec() (wire.Spec, error) {
	var spec wire.Spec
	text, err := os.ReadFile(wire.SpecPath)
	if err == nil {
		err = json.Unmarshal(text, &spec)
	}
	if err != nil {
		return spec, fmt.Errorf("read spec: %w", err)
	}
	return spec, nil
}

// giveWay starts the work in another process, and becomes the given program.
func giveWay(args []string) error {
	_, err := syscall.ForkExec("/proc/self/exe", os.Args[:1], &syscall.ProcAttr{
		Env: append(os.Environ(), besideEnv+"=1"), Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return fmt.Errorf("start the work beside %s: %w", args[0], err)
	}
	// The guest's root is an initramfs and stays so; systemd must not wait for another.
	if err := unix.Exec(args[0], args, append(os.Environ(), "SYSTEMD_IN_INITRD=0")); err != nil {
		return fmt.Errorf("become %s: %w", args[0], err)
	}
	return nil
}

// work prepares the guest and runs the command of the spec.
func work(spec wire.Spec, frames *wire.Writer) (int, error) {
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
