//go:build linux

package vmtest

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/internal/lab/vm/debian"
)

// Variables for somebody who works on one test, on one kernel.
const (
	// runVariable chooses among the tests in the guest, as -test.run does.
	runVariable = "IPE_GUEST_RUN"
	// kernelVariable names the only kernel to test on.
	kernelVariable = "IPE_VM_KERNEL"
	// wideVariable has everything run on every kernel.
	wideVariable = "IPE_VM_WIDE"
)

// runFlag chooses tests.
const runFlag = "-test.run="

// errNotChosen means that $IPE_GUEST_RUN chooses no test of this guest.
var errNotChosen = errors.New(runVariable + " chooses no test of this guest")

// SkipNarrowed leaves out a test of the host whose guest reports no tests, when somebody
// has chosen one that a guest runs, or another kernel.
func SkipNarrowed(t *testing.T, k debian.Kernel) {
	t.Helper()
	skipOther(t, k)
	if os.Getenv(runVariable) != "" {
		t.Skip(errNotChosen)
	}
}

// skipOther leaves out what is for another kernel than the chosen one.
func skipOther(t *testing.T, k debian.Kernel) {
	t.Helper()
	if one := os.Getenv(kernelVariable); one != "" && one != k.Name {
		t.Skipf("%s chooses %s", kernelVariable, one)
	}
}

// some is those kernels that are named, in their order; all of them, if somebody asks for
// more than is tested every time, or for a kernel of his own.
func some(kernels []debian.Kernel, names []string) []debian.Kernel {
	if os.Getenv(wideVariable) != "" || os.Getenv(kernelVariable) != "" {
		return kernels
	}
	return slices.DeleteFunc(slices.Clone(kernels), func(k debian.Kernel) bool { return !slices.Contains(names, k.Name) })
}

// choose completes the flags of a test binary. Declared are the tests that exist only in
// guests; narrow is a pattern such as -test.run takes, or empty. Want are the tests that
// must report, if no choice was made.
func choose(declared, flags []string, narrow string) (all, want []string, err error) {
	pattern, chosen := "", false
	for _, f := range flags {
		if p, ok := strings.CutPrefix(f, runFlag); ok {
			pattern, chosen = p, true
		}
	}
	if narrow == "" && chosen {
		return flags, nil, nil
	}
	if narrow == "" {
		return append([]string{runFlag + exactly(declared)}, flags...), declared, nil
	}
	for _, p := range []string{pattern, narrow} {
		if declared, err = matching(declared, p); err != nil {
			return nil, nil, err
		}
	}
	if len(declared) == 0 {
		return nil, nil, errNotChosen
	}
	_, below, _ := strings.Cut(narrow, "/")
	all = slices.DeleteFunc(slices.Clone(flags), func(f string) bool { return strings.HasPrefix(f, runFlag) })
	return append(all, strings.TrimSuffix(runFlag+exactly(declared)+"/"+below, "/")), nil, nil
}

func exactly(names []string) string { return "^(" + strings.Join(names, "|") + ")$" }

// matching is those of the names that the first element of a pattern matches.
func matching(names []string, pattern string) ([]string, error) {
	first, _, _ := strings.Cut(pattern, "/")
	re, err := regexp.Compile(first)
	if err != nil {
		return nil, fmt.Errorf("choose tests: %w", err)
	}
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !re.MatchString(n) }), nil
}
