package daemon

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/daemon/policydir"
	"github.com/ipe-linux/ipe/internal/linux/cmdline"
	"github.com/ipe-linux/ipe/internal/ownership"
)

// readBoot reads as much of the boot policy as shows whether it is too long. It is
// unsigned, so one that others than root can change is not one.
func readBoot(name string) ([]byte, error) {
	if name == "" {
		return nil, nil
	}
	if err := ownership.Check(name); err != nil {
		return nil, fmt.Errorf("read boot policy: %w", err)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read boot policy: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, api.MaxBoot))
	if err != nil {
		return nil, fmt.Errorf("read boot policy: %w", err)
	}
	return text, nil
}

// repairable is a start that would leave the machine without its policy.
type repairable struct{ error }

// Hint says how to go on.
func (repairable) Hint() string {
	return "start iped with --repair, and deploy the policy anew; ipe.enforce=0 on the kernel's command line starts it, too"
}

// Unwrap returns what the hint is about.
func (r repairable) Unwrap() error { return r.error }

// guarded ends a start that leaves the machine without the policy that was to be
// active, so that its unit fails; unless that is to be put right.
func (d *daemon) guarded(repair bool) error {
	err := d.c.Guarded()
	if err != nil && repair {
		d.log.Error("started to be repaired", "error", err)
		return nil
	}
	if err != nil {
		return repairable{err}
	}
	return nil
}

// deploy takes up the policies that came with the machine. Each problem is logged, and
// shown by ipe status, which must be reachable then.
func (d *daemon) deploy(found []policydir.File) {
	var errs []error
	for _, f := range found {
		errs = append(errs, d.c.Deploy(f.Path, f.Data))
	}
	if errors.Join(errs...) != nil {
		d.log.Error("started with problems")
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
		value, wrong := cmdline.Bool(string(line), name)
		*to = value
		for _, err := range wrong {
			problems = append(problems, fmt.Errorf("kernel's command line: %w", err))
		}
	}
	return m, problems
}
