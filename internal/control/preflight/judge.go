package preflight

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/policy"
)

// maxFindings bounds a forecast, which travels in one answer.
const maxFindings = 2000

// question is one policy instead of another.
type question struct {
	now, next   *policy.Policy
	unavailable policy.KeySet
}

func (q question) decide(p *policy.Policy, ev eval.Evidence) eval.Decision {
	ev.Unavailable = q.unavailable
	// The hook does not matter: a verdict rests on operation and facts.
	return eval.Decide(p, eval.Event{Op: policy.OpExecute, Hook: eval.HookMmap, Evidence: ev})
}

// newlyDenies: next denies what now allows.
func (q question) newlyDenies(ev eval.Evidence) bool {
	return q.decide(q.next, ev).Action == policy.Deny && q.decide(q.now, ev).Action != policy.Deny
}

func (q question) denied(all []*code) (denied []*code) {
	for _, d := range all {
		if q.newlyDenies(d.use.Evidence) {
			denied = append(denied, d)
		}
	}
	return denied
}

// forecast puts what is denied in the order of its weight.
func (q question) forecast(denied []*code) (f api.Forecast) {
	denied = slices.DeleteFunc(denied, func(d *code) bool { return d.gone })
	slices.SortStableFunc(denied, func(a, b *code) int {
		return cmp.Or(a.weight()-b.weight(), b.users-a.users, cmp.Compare(a.where(), b.where()))
	})
	if len(denied) > maxFindings {
		f.Omitted = len(denied) - maxFindings
		denied = denied[:maxFindings]
	}
	for _, d := range denied {
		f.Findings = append(f.Findings, q.finding(d))
	}
	return f
}

func (q question) finding(d *code) api.Finding {
	f := api.Finding{
		Path: d.where(), Memory: !d.use.HasFile, Inode: d.use.Inode, Roles: slices.Clone(d.roles),
		Processes: d.processes, Users: d.users, Facts: factsOf(d.use.Evidence),
		Rule: api.RuleText(q.next, policy.OpExecute, q.decide(q.next, d.use.Evidence)),
	}
	if d.use.HasFile {
		f.Device = fmt.Sprintf("%d:%d", d.use.Major, d.use.Minor)
	}
	if f.Roles == nil {
		f.Roles = []string{}
	}
	if f.Processes == nil {
		f.Processes = []api.Process{}
	}
	return f
}

func factsOf(ev eval.Evidence) api.Facts {
	f := api.Facts{BootVerified: ev.BootVerified, DMVeritySignature: ev.RootHashSigned, FSVeritySignature: ev.FileDigestSigned}
	if !ev.RootHash.IsZero() {
		f.DMVerityRoothash = ev.RootHash.String()
	}
	if !ev.FileDigest.IsZero() {
		f.FSVerityDigest = ev.FileDigest.String()
	}
	return f
}
