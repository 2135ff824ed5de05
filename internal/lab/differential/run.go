//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ipe-linux/ipe/internal/lab/scenarios/transcript"
	"github.com/ipe-linux/ipe/internal/lab/vm/debian"
)

// outcome is what came of one guest.
type outcome struct {
	lines  []transcript.Line
	kernel debian.Kernel
	err    error
}

// conform boots all configurations, jobs at a time, and compares what comes back.
// Differences go to w; an error means that nothing was proved.
func conform(ctx context.Context, r *rig, jobs int, w io.Writer) (*report, error) {
	begin := time.Now()
	r.log = &shared{w: r.log}
	all := slices.DeleteFunc(configurations(), func(c configuration) bool { return r.only != "" && !strings.Contains(r.only, c.name) })
	outcomes := make([]outcome, len(all))
	var wg sync.WaitGroup
	slots := make(chan struct{}, jobs)
	for i, c := range all {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			o := &outcomes[i]
			o.lines, o.kernel, o.err = c.transcript(ctx, r)
			if o.err != nil {
				o.err = fmt.Errorf("%s, %s on %s: %w", c.name, c.enforcer(), c.kernel, o.err)
			}
		})
	}
	wg.Wait()
	var failed []error
	for _, o := range outcomes {
		failed = append(failed, o.err)
	}
	if err := errors.Join(failed...); err != nil {
		return nil, err
	}
	rep, err := judge(r, all, outcomes, w)
	if err != nil {
		return nil, err
	}
	rep.Time, rep.Seconds = begin.UTC().Truncate(time.Second), int(time.Since(begin).Seconds())
	return rep, nil
}

// judge compares each outcome with that of its reference.
func judge(r *rig, all []configuration, outcomes []outcome, w io.Writer) (rep *report, err error) {
	rep = &report{Version: reportVersion, Seed: r.seed, First: r.first, Policies: r.policies, Unused: []string{}}
	lines := map[string][]transcript.Line{}
	for i, c := range all {
		lines[c.name] = outcomes[i].lines
	}
	var comparisons []*comparison
	for i, c := range all {
		cmp := compare(c, lines[c.reference], lines[c.name])
		if cmp.witnessed, cmp.wrong, err = witness(c, r.facts, lines[c.name]); err != nil {
			return nil, fmt.Errorf("judge %s: %w", c.name, err)
		}
		rep.add(outcomes[i].kernel.Release, cmp)
		if c.reference != "" {
			comparisons = append(comparisons, cmp)
		}
		printDifferences(w, r, index(lines[c.name]), cmp)
	}
	rep.Unused = append(rep.Unused, unused(comparisons)...)
	rep.OK = rep.failures() == 0
	return rep, nil
}

// policyOf is the text of the policy that a step of the walk is about.
func policyOf(reference indexed, scenario string) string {
	if line := reference[transcript.Line{Scenario: scenario, What: "policy"}.Key()]; line != nil {
		return line.Got
	}
	return ""
}

// show is a line's result and records.
func show(l *transcript.Line) string {
	if l == nil {
		return "(not there)"
	}
	return strings.Join(append([]string{l.Got}, l.Records...), "\n             ")
}
