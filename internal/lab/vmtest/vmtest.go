//go:build linux

// Package vmtest runs tests in test guests and reports each of them as a subtest
// of the host's test.
//
// A package with such tests has them in files with the build constraint "guest",
// and one test on the host, in a file with "!guest", that runs them:
//
//	func TestVM(t *testing.T) {
//		for _, k := range vmtest.Kernels(t) {
//			t.Run(k.Name, func(t *testing.T) {
//				vmtest.RunPackage(t, vm.Config{Kernel: k, Modules: []string{"dm-verity"}})
//			})
//		}
//	}
//
// The guest has what every Debian 12 with scripts/setup can give it, so nothing is
// ever skipped: a kernel that cannot be had, a test that skips itself in the guest
// and a test that does not report are all failures.
package vmtest

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/internal/lab/vm"
	"github.com/ipe-linux/ipe/internal/lab/vm/debian"
)

// Kernels gives every kernel that is tested on; one that is missing ends the test.
func Kernels(t *testing.T) []debian.Kernel {
	t.Helper()
	kernels, err := debian.Kernels(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return kernels
}

// Some gives the kernels of the named series, for a test of what user space does: those
// that differ for it. What a kernel decides is tested on all. If somebody asks for all
// ($IPE_VM_WIDE, "make wide"), or for one kernel, which others leave out, it gives all.
func Some(t *testing.T, names ...string) []debian.Kernel {
	t.Helper()
	return some(Kernels(t), names)
}

// Kernel gives one kernel by the name of its series.
func Kernel(t *testing.T, name string) debian.Kernel {
	t.Helper()
	k, err := debian.FindKernel(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// HostBinary is vm.HostBinary; a missing program ends the test.
func HostBinary(t *testing.T, names ...string) vm.Files {
	t.Helper()
	files, err := vm.HostBinary(names...)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// RunPackage builds the tests of the package in the current directory, runs those
// that are declared in files with the constraint "guest", and reports each as a
// subtest of t. It sets Command, Dir and Merge of the configuration. The directory
// testdata is in the guest, at the same place relative to the test.
//
// Flags are further flags of the test binary; one that begins with "-test.run="
// chooses the tests instead.
func RunPackage(t *testing.T, cfg vm.Config, flags ...string) {
	t.Helper()
	skipOther(t, cfg.Kernel)
	outcome, err := Collect(t.Context(), cfg, flags...)
	if errors.Is(err, errNotChosen) {
		t.Skip(err) // only for somebody who has chosen others
	}
	if err != nil && outcome == nil {
		t.Fatal(err)
	}
	outcome.report(t)
	if err != nil {
		t.Error(err)
	}
	if len(outcome.Tests) == 0 {
		t.Errorf("no test ran in the guest: %v", flags)
	}
	if t.Failed() && err == nil {
		t.Logf("the guest's console ends with:\n%s", tail(outcome.Console, 40))
	}
}

// Collect is RunPackage without the report: the outcome is nil when no guest ran,
// and holds what had come when the guest did not end well.
func Collect(ctx context.Context, cfg vm.Config, flags ...string) (*Outcome, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	declared, err := guestTests(dir)
	if err != nil {
		return nil, err
	}
	flags, want, err := choose(declared, flags, os.Getenv(runVariable))
	if err != nil {
		return nil, err
	}
	if err := trackSources(); err != nil {
		return nil, err
	}
	files, err := binary(ctx, dir)
	if err != nil {
		return nil, err
	}
	return runGuest(ctx, cfg, files, want, flags)
}

// guestDir is the working directory of the tests in the guest.
const guestDir = "/test"

// Program is the test binary, in the guest.
const Program = guestDir + "/guest.test"

func runGuest(ctx context.Context, cfg vm.Config, files vm.Files, want, flags []string) (*Outcome, error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = vm.DefaultTimeout
	}
	// The tests' own limit comes first, for it tells where they hang.
	limit := vm.Longest(cfg.Timeout) * 9 / 10
	files.Add(cfg.Files)
	cfg.Files, cfg.Dir, cfg.Merge = files, guestDir, true
	cfg.Command = append([]string{
		Program, "-test.v=test2json", "-test.paniconexit0", "-test.timeout=" + limit.String(),
	}, flags...)
	res, runErr := vm.Run(ctx, cfg)
	outcome, err := parse(ctx, res)
	if err != nil {
		return nil, err
	}
	outcome.want = want
	return outcome, runErr
}

func tail(text []byte, lines int) string {
	all := strings.SplitAfter(strings.TrimRight(string(text), "\r\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "")
}
