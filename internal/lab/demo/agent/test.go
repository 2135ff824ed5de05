//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/lab/demo/row"
	"github.com/ipe-linux/ipe/policy"
)

// test is something that is tried, and what has to come of it.
type test struct {
	tried string
	// env and args are those of the child that tries it.
	env, args []string
	// subject is the file that the policy is asked about, "" for memory, at that
	// hook. Records call it name.
	subject string
	hook    eval.Hook
	name    string
	// demand is what the policy has to say and want what the kernel has to answer.
	demand policy.Action
	want   string
	// silent: the kernel refuses before it asks the policy, so there is no record.
	silent bool
	// library is looked for in the mappings of the program; the answer is then code
	// or noCode.
	library string
	// confirm looks at the effect, and gives a word about it.
	confirm func(context.Context, answer) (string, error)
}

// outcome is a test that was made, its record not yet looked for.
type outcome struct {
	test     test
	answer   answer
	decision eval.Decision
	row      row.Row
	wrong    []string
}

// check makes a test and reports it.
func (a *agent) check(ctx context.Context, tests ...test) error {
	for _, t := range tests {
		o, err := a.try(ctx, t)
		if err != nil {
			return fmt.Errorf("%s: %w", t.tried, err)
		}
		if err := a.settle(ctx, o); err != nil {
			return fmt.Errorf("%s: %w", t.tried, err)
		}
	}
	return nil
}

// try asks the policy, and then the kernel.
func (a *agent) try(ctx context.Context, t test) (*outcome, error) {
	ev, err := evidence(ctx, t.subject)
	if err != nil {
		return nil, err
	}
	o := &outcome{test: t, row: row.Row{Tried: t.tried, Policy: "none"}}
	if a.policy != nil {
		o.decision = eval.Decide(a.policy, eval.Event{Op: policy.OpExecute, Hook: t.hook, Evidence: ev})
		o.row.Policy = o.decision.Action.String()
		o.demand("the policy says", o.row.Policy, t.demand.String())
	}
	if o.answer, o.row.Answered, err = t.make(ctx); err != nil {
		return nil, err
	}
	o.demand("the kernel answered", o.row.Answered, t.want)
	if said := strings.TrimSpace(o.answer.stderr); o.row.Answered != t.want && said != "" {
		o.wrong = append(o.wrong, "the program said: "+said)
	}
	if t.confirm == nil {
		return o, nil
	}
	word, err := t.confirm(ctx, o.answer)
	if err != nil {
		o.wrong = append(o.wrong, err.Error())
	}
	o.row.Answered += word
	return o, nil
}

// demand notes a difference.
func (o *outcome) demand(what, got, want string) {
	if got != want {
		o.wrong = append(o.wrong, fmt.Sprintf("%s %s, demanded is %s", what, got, want))
	}
}

// make runs the child.
func (t *test) make(ctx context.Context) (answer, string, error) {
	child, err := begin(ctx, t.env, t.args...)
	if err != nil {
		return answer{}, "", err
	}
	mapped := noCode
	if t.library != "" && hasCode(awaitLibraries(child.cmd.Process.Pid), t.library) {
		mapped = code
	}
	got, err := child.end()
	switch {
	case t.library != "" && got.String() == ok:
		return got, mapped, err
	case got.exit == "exit 127" && strings.Contains(got.stderr, "failed to map segment"):
		return got, refusedMapping, err
	}
	return got, got.String(), err
}

// Answers that a program sees rather than gets.
const (
	// refusedMapping: the dynamic loader says that it may not map a file.
	refusedMapping = "mapping refused"
	// code: a program has executable memory of a library; noCode: it has not.
	code   = "code mapped"
	noCode = "no code mapped"
)

// hasCode looks for executable mappings of a file.
func hasCode(maps, file string) bool {
	for line := range strings.Lines(maps) {
		f := strings.Fields(line)
		if len(f) > 5 && strings.HasSuffix(f[5], file) && strings.Contains(f[1], "x") {
			return true
		}
	}
	return false
}

// awaitLibraries gives the mappings of a process once it has its libraries; those
// to be loaded before them have been tried then.
func awaitLibraries(pid int) string {
	for range 500 {
		maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
		if err != nil || strings.Contains(string(maps), "libnftables") {
			return string(maps)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return ""
}

// settle finds the record of the decision, compares it with the policy's, and
// reports the row.
func (a *agent) settle(ctx context.Context, o *outcome) error {
	switch {
	case o.test.silent:
		if err := a.demandSilence(ctx, o); err != nil {
			return err
		}
	case a.policy != nil:
		if err := a.compare(ctx, o); err != nil {
			return err
		}
	}
	o.row.OK, o.row.Why = len(o.wrong) == 0, strings.Join(o.wrong, "; ")
	return a.report(o.row)
}

// demandSilence sees to it that the policy was not asked; with success audit on, any
// decision would have a record by now.
func (a *agent) demandSilence(ctx context.Context, o *outcome) error {
	time.Sleep(silence)
	_, found, err := a.find(ctx, o.answer.pid, o.test.hook, o.test.name)
	if err != nil {
		return err
	}
	if o.row.Rule = "not asked: dm-verity refused to read it"; found {
		o.row.Rule = ""
		o.wrong = append(o.wrong, "the policy was asked")
	}
	return nil
}

func (a *agent) compare(ctx context.Context, o *outcome) error {
	rec, found, err := a.record(ctx, o.answer.pid, o.test.hook, o.test.name)
	switch {
	case err != nil:
		return err
	case !found:
		o.wrong = append(o.wrong, "the engine has no record of it")
		return nil
	}
	o.row.Rule = rec.Rule()
	o.demand("the record says", rec.Action, o.decision.Action.String())
	o.demand("the record's rule is", rec.Rule(), api.RuleText(a.policy, policy.OpExecute, o.decision))
	return nil
}
