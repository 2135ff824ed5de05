//go:build linux && !guest

package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/lab/scenarios/transcript"
)

func lines(text string) []transcript.Line {
	var all []transcript.Line
	for l := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		f := strings.Split(l, "|")
		all = append(all, transcript.Line{Scenario: f[0], What: f[1], Got: f[2], Records: f[3:]})
	}
	return all
}

var (
	ours   = configuration{name: "x", reference: "r"}
	oldest = configuration{name: "c", reference: "a"}
	newest = configuration{name: "d", reference: "a"}
)

func TestCompare(t *testing.T) {
	const reference = "s|1|ok|r\ns|2|EACCES\nwalk 0|policy|enforce=1 success_audit=0; DEFAULT action=DENY\nwalk 0|tmpfs, exec|EACCES|r"
	tests := map[string]struct {
		got  string
		want []string
	}{
		"equal":     {reference, nil},
		"verdict":   {strings.Replace(reference, "2|EACCES", "2|ok", 1), []string{"s\t2"}},
		"record":    {strings.Replace(reference, "exec|EACCES|r", "exec|EACCES|q", 1), []string{"walk 0\ttmpfs, exec"}},
		"no record": {strings.Replace(reference, "1|ok|r", "1|ok", 1), []string{"s\t1"}},
		"missing":   {strings.Replace(reference, "s|2|EACCES\n", "", 1), []string{"s\t2"}},
		"more":      {reference + "\nwalk 0|unexpected|records|r", []string{"walk 0\tunexpected"}},
		"policy":    {strings.Replace(reference, "action=DENY", "action=ALLOW", 1), []string{"walk 0\tpolicy"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := compare(ours, lines(reference), lines(tt.got))
			var got []string
			for _, d := range c.unnamed() {
				got = append(got, d.line().Key())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("differences (-want +got):\n%s", diff)
			}
			if c.decisions != 3 || c.records != 2 || c.scenarios != 2 {
				t.Errorf("counted %d decisions, %d records, %d scenarios", c.decisions, c.records, c.scenarios)
			}
		})
	}
}

// TestTable: an entry explains what it is about, and not something near it.
func TestTable(t *testing.T) {
	reference := lines(`
w|overlay on plain, mmap|EACCES|1420 ipe_hook=MMAP x
w|overlay on plain, mprotect|ok
w|plain, mmap|EACCES|1420 ipe_hook=MMAP x
w|plain, mprotect|ok
w|plain, exec|ENOENT|1420 ipe_hook=BPRM_CHECK x
w|plain, execveat check|EINVAL
w|load|EEXIST
`)
	tests := map[string]struct {
		in   configuration
		got  string
		want string
	}{
		"overlay":              {oldest, "w|overlay on plain, mprotect|EACCES|1420 ipe_hook=MPROTECT x", "overlay mprotect"},
		"overlay, wrong":       {oldest, "w|overlay on plain, mprotect|EPERM|1420 ipe_hook=MPROTECT x", ""},
		"overlay, record":      {oldest, "w|overlay on plain, mprotect|EACCES|1420 ipe_hook=MPROTECT y", ""},
		"no overlay":           {oldest, "w|plain, mprotect|EACCES|1420 ipe_hook=MPROTECT x", ""},
		"overlay on newest":    {newest, "w|overlay on plain, mprotect|EACCES|1420 ipe_hook=MPROTECT x", ""},
		"check":                {newest, "w|plain, execveat check|ok|1420 ipe_hook=BPRM_CREDS_FOR_EXEC x", "AT_EXECVE_CHECK"},
		"check, denied":        {newest, "w|plain, execveat check|EACCES|1420 ipe_hook=BPRM_CREDS_FOR_EXEC x", ""},
		"failure":              {newest, "w|load|EEXIST|1422 policy_name=? policy_version=? policy_digest=? lsm=ipe res=0 errno=-17", "failed loads are recorded"},
		"failure, other errno": {newest, "w|load|EPERM|1422 policy_name=? policy_version=? policy_digest=? lsm=ipe res=0 errno=-1", ""},
		"failure, success":     {newest, "w|load|EEXIST|1422 policy_name=\"x\" lsm=ipe res=1 errno=0", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := lines(tt.got)[0]
			want := index(reference)[got.Key()]
			if d := explain(tt.in, index(reference), want, &got); d.Named != tt.want {
				t.Errorf("explained by %q, want %q", d.Named, tt.want)
			}
		})
	}
}

func TestUnusedEntries(t *testing.T) {
	reference := lines("w|overlay on plain, mmap|EACCES\nw|overlay on plain, mprotect|ok")
	c := compare(oldest, reference, lines("w|overlay on plain, mmap|EACCES\nw|overlay on plain, mprotect|EACCES"))
	for _, u := range unused([]*comparison{c}) {
		if u == "overlay mprotect in c" {
			t.Errorf("%s was used", u)
		}
	}
	c = compare(oldest, reference, reference)
	if got := strings.Join(unused([]*comparison{c}), ", "); !strings.Contains(got, "overlay mprotect in c") {
		t.Errorf("unused entries are %q, want overlay mprotect among them", got)
	}
}

// TestWitness: the evaluator contradicts transcripts that all agree.
func TestWitness(t *testing.T) {
	f := &facts{map[string]eval.Evidence{
		"volume": {RootHash: digest.New("sha256", bytes.Repeat([]byte{0xb0}, 32))},
		"tmpfs":  {},
	}}
	const text = "s|anything|EACCES\n" +
		"walk 0|policy|enforce=1 success_audit=0; DEFAULT action=DENY; op=EXECUTE dmverity_roothash=sha256:BOTH action=ALLOW\n" +
		"walk 0|volume, exec|ENOENT\nwalk 0|tmpfs, exec|EACCES\nwalk 0|tmpfs, mprotect again|ok\nwalk 0|volume, finit_module|EACCES\n" +
		"walk 1|policy|enforce=0 success_audit=0; DEFAULT action=DENY\nwalk 1|tmpfs, mmap|ok"
	n, wrong, err := witness(ours, f, lines(text))
	if n != 5 || len(wrong) != 0 || err != nil {
		t.Errorf("%d decisions, wrong %v, %v", n, wrong, err)
	}
	for _, change := range [][2]string{{"tmpfs, exec|EACCES", "tmpfs, exec|ENOENT"}, {"exec|ENOENT", "exec|EACCES"}, {"mmap|ok", "mmap|EACCES"}} {
		if _, wrong, err := witness(ours, f, lines(strings.Replace(text, change[0], change[1], 1))); len(wrong) != 1 || err != nil {
			t.Errorf("%s: wrong %v, %v", change[1], wrong, err)
		}
	}
	if _, _, err := witness(ours, f, lines("walk 0|policy|enforce=1; nonsense")); err == nil {
		t.Error("a policy that cannot be read is taken")
	}
	if _, _, err := witness(ours, f, lines("walk 0|policy|enforce=1; DEFAULT action=DENY\nwalk 0|nobody, exec|ok")); err == nil {
		t.Error("a subject without facts is taken")
	}
}
