package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/ipe-linux/ipe/internal/bootparam"
	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/policydir"
)

// readBoot reads as much of the boot policy as shows whether it is too long.
func readBoot(name string) ([]byte, error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read boot policy: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, control.MaxBoot))
	if err != nil {
		return nil, fmt.Errorf("read boot policy: %w", err)
	}
	return text, nil
}

// begin starts the life cycle, with the policies that came with the machine. Each
// problem is logged, and shown by ipe status, which must be reachable then.
func begin(c *control.Control, found []policydir.File, log *slog.Logger) {
	err := c.Start()
	for _, f := range found {
		err = errors.Join(err, c.Deploy(f.Path, f.Data))
	}
	if err != nil {
		log.Error("started with problems")
	}
}

// Where the kernel tells how it was booted.
const (
	commandLine = "/proc/cmdline"
	bootID      = "/proc/sys/kernel/random/boot_id"
)

// bootMode reads the parameters that the kernel's IPE has on the kernel's command
// line. They rule whatever the engine is.
func bootMode() (m control.BootMode, problems []error) {
	line, err := os.ReadFile(commandLine)
	if err != nil {
		return m, []error{fmt.Errorf("kernel's command line: %w", err)}
	}
	id, err := os.ReadFile(bootID)
	if err != nil {
		return m, []error{fmt.Errorf("number of this boot: %w", err)}
	}
	m.ID = strings.TrimSpace(string(id))
	for name, to := range map[string]**bool{"ipe.enforce": &m.Enforce, "ipe.success_audit": &m.SuccessAudit} {
		value, wrong := bootparam.Bool(string(line), name)
		*to = value
		for _, err := range wrong {
			problems = append(problems, fmt.Errorf("kernel's command line: %w", err))
		}
	}
	return m, problems
}
