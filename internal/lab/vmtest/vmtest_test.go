//go:build linux && !guest

package vmtest_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/internal/lab/vm"
	"github.com/ipe-linux/ipe/internal/lab/vmtest"
)

// choice is the variable that makes TestVMReport report what it is told, instead of
// looking at such a report: a report of failures can be seen only from outside.
const choice = "VMTEST_REPORT"

func TestVMReport(t *testing.T) {
	if pattern := os.Getenv(choice); pattern != "" {
		flags := []string{"-test.run=" + pattern}
		if pattern == "^TestHang$" {
			flags = append(flags, "-test.timeout=3s")
		}
		vmtest.RunPackage(t, config(t), flags...)
		return
	}
	for name, tt := range map[string]struct {
		pattern string
		want    []string
		pass    bool
	}{
		"good tests": {
			"^TestGood$",
			[]string{"--- PASS: TestVMReport/TestGood ", "all is well", "--- PASS: TestVMReport/TestGood/a/b ", "--- PASS: TestVMReport/TestGood/with_space/deep "},
			true,
		},
		"bad and skipped tests": {
			"^Test(Good|Bad|Skipped)$",
			[]string{
				"--- PASS: TestVMReport/TestGood ", "--- FAIL: TestVMReport/TestBad ", "--- PASS: TestVMReport/TestBad/fine ",
				"--- FAIL: TestVMReport/TestBad/broken ", "one is not two", "--- FAIL: TestVMReport/TestSkipped ", "console ends with",
			},
			false,
		},
		"panic":        {"^TestPanic$", []string{"--- FAIL: TestVMReport/TestPanic ", "on purpose"}, false},
		"exit":         {"^TestExit$", []string{"--- FAIL: TestVMReport/TestExit ", "the test did not end"}, false},
		"exit zero":    {"^TestExitZero$", []string{"--- FAIL: TestVMReport/TestExitZero ", "unexpected call to os.Exit(0)"}, false},
		"no test":      {"^TestAbsent$", []string{"--- FAIL: TestVMReport ", "no test ran in the guest"}, false},
		"hang":         {"^TestHang$", []string{"--- FAIL: TestVMReport/TestHang ", "test timed out after 3s"}, false},
		"stop":         {"^TestStop$", []string{"--- FAIL: TestVMReport/TestStop ", "guest did not finish in time", "Run /init as init process"}, false},
		"kernel panic": {"^TestKernelPanic$", []string{"--- FAIL: TestVMReport/TestKernelPanic ", "guest ended without reporting", "sysrq triggered crash"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestVMReport$", "-test.v")
			cmd.Env = append(os.Environ(), choice+"="+tt.pattern)
			out, err := cmd.CombinedOutput()
			if (err == nil) != tt.pass {
				t.Errorf("the reporting test ended with %v", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(string(out), want) {
					t.Errorf("the report is without %q:\n%s", want, out)
				}
			}
		})
	}
}

func config(t *testing.T) vm.Config {
	cfg := vm.Config{Kernel: vmtest.Kernel(t, "6.1")}
	if os.Getenv(choice) == "^TestStop$" {
		cfg.Timeout = 20 * time.Second
	}
	return cfg
}

func TestVMCollect(t *testing.T) {
	outcome, err := vmtest.Collect(t.Context(), config(t), "-test.run=^TestBad$")
	if err != nil {
		t.Fatal(err)
	}
	type test struct {
		Name, Action string
		Sub          []test
	}
	bad := outcome.Tests[0]
	got := test{Name: bad.Name, Action: bad.Action}
	for _, sub := range bad.Sub {
		got.Sub = append(got.Sub, test{Name: sub.Name, Action: sub.Action})
	}
	want := test{"TestBad", "fail", []test{{Name: "fine", Action: "pass"}, {Name: "broken", Action: "fail"}}}
	if diff := cmp.Diff(want, got); diff != "" || len(outcome.Tests) != 1 {
		t.Errorf("%d tests, %s", len(outcome.Tests), diff)
	}
	if outcome.ExitCode != 1 {
		t.Errorf("status %d", outcome.ExitCode)
	}
}

func TestVMEveryDeclaredTestMustReport(t *testing.T) {
	// Without a choice, the panic of one test keeps those after it from running.
	outcome, err := vmtest.Collect(t.Context(), config(t))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"TestExit", "TestExitZero", "TestHang", "TestStop", "TestKernelPanic"}
	if diff := cmp.Diff(want, outcome.Missing()); diff != "" {
		t.Error(diff)
	}
}
