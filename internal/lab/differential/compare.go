//go:build linux

package main

import (
	"slices"

	"github.com/ipe-linux/ipe/internal/lab/scenarios/transcript"
)

// difference is an observation that is not the same in two configurations. One of
// the lines is nil if the observation was made in the other alone.
type difference struct {
	Reference, Got *transcript.Line
	// Named is the entry of the table that explains it; empty for a failure.
	Named string
}

func (d difference) line() *transcript.Line {
	if d.Got != nil {
		return d.Got
	}
	return d.Reference
}

// comparison is what came of comparing one configuration with the reference.
type comparison struct {
	configuration configuration
	// Scenarios, Decisions and Records are counts of what was compared.
	scenarios, decisions, records int
	differences                   []difference
	// witnessed counts the decisions that were held against package eval, and wrong are
	// those that it does not demand.
	witnessed int
	wrong     []difference
}

// unnamed are the differences that nothing explains.
func (c *comparison) unnamed() []difference {
	return append(slices.DeleteFunc(slices.Clone(c.differences), func(d difference) bool { return d.Named != "" }), c.wrong...)
}

// policyLine is what a step of the walk begins with: the policy, not a decision.
const policyLine = "policy"

// indexed is a transcript by what was tried.
type indexed map[string]*transcript.Line

func index(lines []transcript.Line) indexed {
	m := make(indexed, len(lines))
	for i := range lines {
		m[lines[i].Key()] = &lines[i]
	}
	return m
}

// compare holds a configuration's transcript against its reference's, line by line. A
// configuration without a reference is only counted.
func compare(c configuration, reference, got []transcript.Line) *comparison {
	r := &comparison{configuration: c}
	if c.reference == "" {
		reference = got
	}
	ours, theirs := index(got), index(reference)
	scenarios := map[string]bool{}
	for i := range reference {
		want := &reference[i]
		have := ours[want.Key()]
		scenarios[want.Scenario] = true
		r.decisions++
		r.records += len(want.Records)
		if have == nil || !equal(want, have) {
			r.differences = append(r.differences, explain(c, theirs, want, have))
		}
		if want.What == policyLine {
			r.decisions--
		}
	}
	for i := range got {
		if theirs[got[i].Key()] == nil {
			r.differences = append(r.differences, explain(c, theirs, nil, &got[i]))
		}
	}
	r.scenarios = len(scenarios)
	return r
}

func equal(a, b *transcript.Line) bool {
	return a.Got == b.Got && slices.Equal(a.Records, b.Records)
}

// explain looks for the entry of the table that says why two lines differ.
func explain(c configuration, reference indexed, want, have *transcript.Line) difference {
	d := difference{Reference: want, Got: have}
	if want == nil || have == nil {
		return d
	}
	p := pair{reference: reference, want: want, have: have}
	for _, e := range table() {
		if slices.Contains(e.in, c.name) && e.match(p) {
			d.Named = e.name
			break
		}
	}
	return d
}

// unused lists the entries of the table that explained nothing in the configurations
// that ran.
func unused(all []*comparison) (names []string) {
	for _, e := range table() {
		for _, c := range all {
			if slices.Contains(e.in, c.configuration.name) && !c.explainedBy(e.name) {
				names = append(names, e.name+" in "+c.configuration.name)
			}
		}
	}
	return names
}

func (c *comparison) explainedBy(name string) bool {
	return slices.ContainsFunc(c.differences, func(d difference) bool { return d.Named == name })
}
