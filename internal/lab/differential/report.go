//go:build linux

package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// reportVersion is that of the JSON; fields may be added to a version.
const reportVersion = 1

// report is the outcome of a run, for machines.
type report struct {
	Version  int       `json:"version"`
	Time     time.Time `json:"time"`
	Seed     uint64    `json:"seed"`
	First    int       `json:"first_policy"`
	Policies int       `json:"policies"`
	Seconds  int       `json:"seconds"`
	// Configurations are all that ran, the reference first.
	Configurations []reportConfiguration `json:"configurations"`
	// Unused are entries of the table of named differences that explained nothing.
	Unused []string `json:"unused"`
	OK     bool     `json:"ok"`
	// Decisions and Records are what was compared in all.
	Decisions int `json:"decisions"`
	Records   int `json:"records"`
}

type reportConfiguration struct {
	Name     string `json:"name"`
	Kernel   string `json:"kernel"`
	Enforcer string `json:"enforcer"`
	// Reference is the name of what it was compared with.
	Reference string `json:"reference,omitempty"`
	// Scenarios, Decisions and Records are counts; for the reference, of what others
	// were compared with.
	Scenarios int `json:"scenarios"`
	Decisions int `json:"decisions"`
	Records   int `json:"records"`
	// Witnessed counts the decisions that package eval was asked about, too.
	Witnessed int `json:"witnessed"`
	// Named counts the differences that the table explains, by entry.
	Named       map[string]int     `json:"named"`
	Differences []reportDifference `json:"differences"`
}

type reportDifference struct {
	Tried     string `json:"tried"`
	Reference string `json:"reference"`
	Got       string `json:"got"`
}

// add adds what came of one configuration.
func (r *report) add(kernel string, c *comparison) {
	rc := reportConfiguration{
		Name: c.configuration.name, Kernel: kernel, Enforcer: c.configuration.enforcer(), Reference: c.configuration.reference,
		Scenarios: c.scenarios, Decisions: c.decisions, Records: c.records, Witnessed: c.witnessed,
		Named: map[string]int{}, Differences: []reportDifference{},
	}
	for _, d := range c.differences {
		if d.Named != "" {
			rc.Named[d.Named]++
		}
	}
	for _, d := range c.unnamed() {
		rc.Differences = append(rc.Differences, reportDifference{d.line().Key(), show(d.Reference), show(d.Got)})
	}
	r.Configurations = append(r.Configurations, rc)
	if rc.Reference != "" {
		r.Decisions += c.decisions
		r.Records += c.records
	}
}

// failures counts what must not be: differences that nothing explains, and entries of
// the table that explain nothing.
func (r *report) failures() int {
	n := len(r.Unused)
	for _, c := range r.Configurations {
		n += len(c.Differences)
	}
	return n
}

// shown bounds the differences that are printed for each configuration.
const shown = 10

// print writes the report for people.
func (r *report) print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "configuration\tkernel\tenforced by\tscenarios\tdecisions\trecords\tby eval\tcompared with\tnamed\tdifferences")
	for _, c := range r.Configurations {
		named := 0
		for _, n := range c.Named {
			named += n
		}
		last := fmt.Sprintf("%s\t%d\t%d", c.Reference, named, len(c.Differences))
		if c.Reference == "" {
			last = fmt.Sprintf("-\t\t%d", len(c.Differences))
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%s\n", c.Name, c.Kernel, c.Enforcer, c.Scenarios, c.Decisions, c.Records, c.Witnessed, last)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	r.printNamed(w)
	for _, u := range r.Unused {
		fmt.Fprintf(w, "the named difference %q explains nothing any more\n", u)
	}
	_, err := fmt.Fprintf(w, "%d differences outside the table; %d decisions and %d records compared, %d random policies, seed %d, %d s\n",
		r.failures()-len(r.Unused), r.Decisions, r.Records, r.Policies, r.Seed, r.Seconds)
	return err
}

// printNamed says which entries of the table explained how many differences, and why.
func (r *report) printNamed(w io.Writer) {
	for _, e := range table() {
		for _, c := range r.Configurations {
			if n := c.Named[e.name]; n > 0 {
				fmt.Fprintf(w, "named in %s, %d lines: %s: %s\n", c.Name, n, e.name, e.why)
			}
		}
	}
}

// printDifferences shows the first differences side by side, with what is needed to
// act: the policy that decided, and the command that repeats it.
func printDifferences(w io.Writer, r *rig, reference indexed, c *comparison) {
	for i, d := range c.unnamed() {
		if i == shown {
			fmt.Fprintf(w, "... and %d more\n", len(c.unnamed())-shown)
			return
		}
		line := d.line()
		fmt.Fprintf(w, "DIFFERENCE in %s: %s, %s\n", c.configuration.name, line.Scenario, line.What)
		if policy := policyOf(reference, line.Scenario); policy != "" {
			fmt.Fprintf(w, "  policy     %s\n", strings.ReplaceAll(policy, "; ", "\n             "))
		}
		fmt.Fprintf(w, "  %-9s  %s\n  %-9s  %s\n", cmp.Or(c.configuration.reference, "eval"), show(d.Reference), c.configuration.name, show(d.Got))
		var number int
		if n, _ := fmt.Sscanf(line.Scenario, "walk %d", &number); n == 1 {
			fmt.Fprintf(w, "  repeat     go run ./internal/lab/differential --seed %d --first %d --policies 1\n", r.seed, number)
		}
	}
}

func encode(w io.Writer, r *report) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}
