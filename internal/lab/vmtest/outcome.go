//go:build linux

package vmtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ipe-linux/ipe/internal/lab/vm"
)

// Outcome is what the tests in one guest reported.
type Outcome struct {
	vm.Result
	// Tests are those of the top level, in order.
	Tests []*Test
	// Extra is output that belongs to no test.
	Extra string

	want []string
}

// Test is one test or subtest.
type Test struct {
	// Name is relative to the test that ran it.
	Name string
	// Action is pass, fail or skip; empty if the test began and never ended.
	Action string
	Output string
	Sub    []*Test
}

// event is a line of go tool test2json.
type event struct{ Action, Test, Output string }

// parse turns the output of a test binary into outcomes, by the go command's own
// converter.
func parse(ctx context.Context, res vm.Result) (*Outcome, error) {
	cmd := exec.CommandContext(ctx, "go", "tool", "test2json")
	cmd.Stdin = bytes.NewReader(res.Output)
	lines, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("read guest's test output: %w", err)
	}
	o := &Outcome{Result: res}
	known := map[string]*Test{}
	for dec := json.NewDecoder(bytes.NewReader(lines)); ; {
		var e event
		if err := dec.Decode(&e); errors.Is(err, io.EOF) {
			return o, nil
		} else if err != nil {
			return nil, fmt.Errorf("read guest's test output: %w", err)
		}
		o.apply(known, e)
	}
}

func (o *Outcome) apply(known map[string]*Test, e event) {
	if e.Test == "" {
		o.Extra += e.Output
		return
	}
	test := known[e.Test]
	if test == nil {
		test = o.insert(known, e.Test)
	}
	switch e.Action {
	case "output":
		test.Output += e.Output
	case "pass", "fail", "skip":
		test.Action = e.Action
	}
}

// insert puts a new test below the test with the longest name that leads to it;
// a test's own name may contain slashes, too.
func (o *Outcome) insert(known map[string]*Test, name string) *Test {
	test := &Test{Name: name}
	known[name] = test
	for at := strings.LastIndexByte(name, '/'); at > 0; at = strings.LastIndexByte(name[:at], '/') {
		if parent := known[name[:at]]; parent != nil {
			test.Name = name[at+1:]
			parent.Sub = append(parent.Sub, test)
			return test
		}
	}
	o.Tests = append(o.Tests, test)
	return test
}

// report runs a subtest for each test of the guest.
func (o *Outcome) report(t *testing.T) {
	t.Helper()
	t.Logf("the guest took %s of processors, %s by the clock", o.Processors.Round(time.Second), o.Duration.Round(time.Second))
	ok := true
	for _, test := range o.Tests {
		ok = t.Run(test.Name, test.report) && ok
	}
	switch {
	case len(o.Tests) == 0:
		t.Errorf("no test ran in the guest:\n%s", o.Extra)
	case ok && o.ExitCode != 0:
		t.Errorf("the tests ended with status %d though none failed:\n%s", o.ExitCode, o.Extra)
	}
	for _, name := range o.Missing() {
		t.Errorf("%s did not run in the guest", name)
	}
}

// Missing lists the declared tests that did not run.
func (o *Outcome) Missing() []string {
	var names []string
	for _, name := range o.want {
		if !o.ran(name) {
			names = append(names, name)
		}
	}
	return names
}

func (o *Outcome) ran(name string) bool {
	for _, test := range o.Tests {
		if test.Name == name {
			return true
		}
	}
	return false
}

func (test *Test) report(t *testing.T) {
	if test.Output != "" {
		t.Log("\n" + test.Output)
	}
	for _, sub := range test.Sub {
		t.Run(sub.Name, sub.report)
	}
	switch test.Action {
	case "pass":
	case "fail":
		t.Fail()
	case "skip":
		t.Error("the test skipped itself; a guest has all it needs")
	default:
		t.Error("the test did not end")
	}
}
