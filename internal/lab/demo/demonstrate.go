//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/ipe-linux/ipe/internal/lab/demo/appliance"
	"github.com/ipe-linux/ipe/internal/lab/demo/row"
	"github.com/ipe-linux/ipe/internal/lab/vm"
	"github.com/ipe-linux/ipe/internal/lab/vm/debian"
)

// show is one run of the demonstration.
type show struct {
	options
	dir    string
	screen *screen
	log    io.Writer
	rows   []row.Row
}

// demonstrate builds the appliance and runs it on each kernel. It gives the rows
// also with an error.
func demonstrate(ctx context.Context, o options, stdout, stderr io.Writer) ([]row.Row, error) {
	dir, remove, err := workDir(o.keep)
	if err != nil {
		return nil, err
	}
	defer remove()
	s := &show{options: o, dir: dir, screen: newScreen(stdout), log: io.Discard}
	if o.json {
		s.screen = newScreen(stderr)
		s.screen.rows = stdout
	}
	if o.verbose {
		s.log = stderr
	}
	s.screen.step("build")
	a, err := appliance.Build(ctx, filepath.Join(dir, "common"), s.screen.detail)
	if err != nil {
		return nil, err
	}
	for _, name := range o.kernels {
		if err := s.kernel(ctx, a, name); err != nil {
			return s.rows, fmt.Errorf("kernel %s: %w", name, err)
		}
	}
	s.screen.summary(s.rows)
	return s.rows, nil
}

// workDir gives the directory for everything that is made.
func workDir(keep string) (dir string, remove func(), err error) {
	if keep == "" {
		dir, err := os.MkdirTemp("", "ipe-demo-")
		return dir, func() { os.RemoveAll(dir) }, err
	}
	dir, err = filepath.Abs(keep)
	if err != nil {
		return "", nil, err
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return "", nil, fmt.Errorf("keep %s: it is not empty", keep)
	}
	return dir, func() {}, os.MkdirAll(dir, 0o755)
}

// kernel boots the appliance of a new owner twice with one kernel.
func (s *show) kernel(ctx context.Context, a *appliance.Appliance, name string) error {
	s.screen.step("kernel %s", name)
	k, err := debian.FindKernel(ctx, name)
	if err != nil {
		return err
	}
	s.screen.detail("%s", k.Package)
	// 6.1 takes signed root hashes only from keys that are built into it.
	signed := name != "6.1"
	s.screen.detail("make an owner's key, a state disk and signed policies")
	site, err := a.NewSite(ctx, filepath.Join(s.dir, name), signed)
	if err != nil {
		return err
	}
	s.screen.policy(site.Policy)
	for boot := 1; boot <= 2; boot++ {
		if err := s.boot(ctx, k, site, boot); err != nil {
			return fmt.Errorf("boot %d: %w", boot, err)
		}
	}
	return nil
}

// errUnfinished means that rows are missing.
var errUnfinished = errors.New("the guest's agent did not finish")

// boot runs the guest once and prints the rows as they come.
func (s *show) boot(ctx context.Context, k debian.Kernel, site *appliance.Site, boot int) error {
	cfg, err := guest(k, site, boot)
	if err != nil {
		return err
	}
	firmware := "directly"
	if cfg.UEFI {
		firmware = "through UEFI firmware, whose key signed the volume"
	}
	s.screen.boot("boot %d, %s", boot, firmware)
	in := &lines{take: func(l row.Line) { s.take(k.Name, boot, l) }, log: s.log}
	cfg.Output, cfg.Console = in, s.log
	res, err := vm.Run(ctx, cfg)
	if kept := s.keepLogs(k.Name, boot, res); kept != nil {
		return errors.Join(err, kept)
	}
	if err != nil {
		return err
	}
	if !in.done || res.ExitCode != 0 {
		return fmt.Errorf("%w: exit status %d:\n%s", errUnfinished, res.ExitCode, lastWords(res.Stderr))
	}
	return nil
}

// take handles one line of the agent.
func (s *show) take(kernel string, boot int, l row.Line) {
	switch {
	case l.Row != nil:
		l.Row.Kernel, l.Row.Boot = kernel, boot
		s.rows = append(s.rows, *l.Row)
		s.screen.row(*l.Row)
	case l.Output != nil:
		s.screen.output(*l.Output)
	}
}

// keepLogs writes down what the guest said.
func (s *show) keepLogs(kernel string, boot int, res vm.Result) error {
	for name, data := range map[string][]byte{"console": res.Console, "stdout": res.Stdout, "stderr": res.Stderr} {
		file := filepath.Join(s.dir, kernel, fmt.Sprintf("boot%d.%s", boot, name))
		if err := os.WriteFile(file, data, 0o644); err != nil {
			return fmt.Errorf("keep log: %w", err)
		}
	}
	return nil
}
