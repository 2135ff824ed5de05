package eval_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/policy"
)

// checkTrace checks a trace against what Decide and Holds say.
func checkTrace(t *testing.T, p *policy.Policy, e eval.Event) {
	t.Helper()
	tr := eval.Explain(p, e)
	if want := eval.Decide(p, e); tr.Decision != want {
		t.Errorf("trace ends in %+v, Decide in %+v", tr.Decision, want)
	}
	for i, r := range tr.Rules {
		all := true
		for j, prop := range r.Properties {
			if prop.Property != p.Rules[r.Index].Properties[j] || prop.Holds != eval.Holds(prop.Property, &e.Evidence) {
				t.Errorf("rule %d, property %d is traced as %+v", r.Index, j, prop)
			}
			all = all && prop.Holds
		}
		isLast := i == len(tr.Rules)-1 && tr.Decision.Scope == policy.ScopeRule
		if r.Matched != all || r.Matched != isLast || r.Matched != (r.Index == tr.Decision.Rule) {
			t.Errorf("rule %d matched: %t, all properties hold: %t, it decided: %t", r.Index, r.Matched, all, isLast)
		}
		if r.Rule.Op != e.Op {
			t.Errorf("rule %d is one of %v", r.Index, r.Rule.Op)
		}
	}
}

const explained = `policy_name=p policy_version=0.0.0
DEFAULT action=DENY
DEFAULT op=FIRMWARE action=ALLOW
op=EXECUTE boot_verified=TRUE action=ALLOW
op=KMODULE action=ALLOW
op=EXECUTE dmverity_signature=TRUE fsverity_digest=sha256:cd2c action=ALLOW
op=EXECUTE dmverity_roothash=sha256:ab fsverity_signature=FALSE action=DENY
op=EXECUTE action=ALLOW
`

func TestExplain(t *testing.T) {
	p := parse(t, explained)
	ev := eval.Evidence{
		RootHash: digest.New("sha256", []byte{0xab}), RootHashSigned: true,
		Unavailable: policy.Keys(policy.FSVerityDigest),
	}
	tr := eval.Explain(p, eval.Event{Op: policy.OpExecute, Evidence: ev})
	want := []eval.RuleTrace{
		{Index: 0, Rule: p.Rules[0], Properties: []eval.PropertyTrace{
			{Property: p.Rules[0].Properties[0], Present: eval.Fact{Key: policy.BootVerified}}}},
		{Index: 2, Rule: p.Rules[2], Properties: []eval.PropertyTrace{
			{Property: p.Rules[2].Properties[0], Holds: true, Present: eval.Fact{Key: policy.DMVeritySignature, Value: true}},
			{Property: p.Rules[2].Properties[1], Present: eval.Fact{Key: policy.FSVerityDigest, Unavailable: true}}}},
		{Index: 3, Rule: p.Rules[3], Matched: true, Properties: []eval.PropertyTrace{
			{Property: p.Rules[3].Properties[0], Holds: true, Present: eval.Fact{Key: policy.DMVerityRoothash, Digest: ev.RootHash}},
			{Property: p.Rules[3].Properties[1], Holds: true, Present: eval.Fact{Key: policy.FSVeritySignature}}}},
	}
	sameDigest := cmp.Comparer(func(a, b digest.Digest) bool { return a == b })
	if diff := cmp.Diff(want, tr.Rules, sameDigest); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestFactString: a fact reads as a policy would write it.
func TestFactString(t *testing.T) {
	ev := eval.Evidence{BootVerified: true, FileDigest: digest.New("sha256", []byte{0xab}), Unavailable: policy.Keys(policy.FSVeritySignature)}
	for k, want := range map[policy.Key]string{
		policy.BootVerified: "TRUE", policy.DMVeritySignature: "FALSE", policy.FSVerityDigest: "sha256:ab",
		policy.DMVerityRoothash: "none", policy.FSVeritySignature: "unavailable",
	} {
		if got := eval.FactOf(k, &ev).String(); got != want {
			t.Errorf("%v: %s, want %s", k, got, want)
		}
	}
}

func TestTraceString(t *testing.T) {
	p := parse(t, explained)
	tests := []struct {
		name string
		p    *policy.Policy
		e    eval.Event
		want string
	}{
		{"rule", p, eval.Event{Op: policy.OpKModule, Hook: eval.HookKernelRead},
			"KMODULE by KERNEL_READ: ALLOW by rule 1 (line 5)\nrule 1 (line 5) matches: op=KMODULE action=ALLOW\n"},
		{"operation", p, eval.Event{Op: policy.OpFirmware, Hook: eval.HookKernelLoad},
			"FIRMWARE by KERNEL_LOAD: ALLOW by the operation default, no rule matched\n"},
		{"global", p, eval.Event{Op: policy.OpUnknown}, "UNKNOWN by BPRM_CHECK: DENY by the global default, no rule matched\n"},
		{"no policy", nil, eval.Event{Hook: eval.HookMmap}, "EXECUTE by MMAP: ALLOW, there is no policy\n"},
	}
	for _, tt := range tests {
		if got := eval.Explain(tt.p, tt.e).String(); got != tt.want {
			t.Errorf("%s:\n%s\nwant\n%s", tt.name, got, tt.want)
		}
	}
	made := &policy.Policy{Rules: []policy.Rule{{Op: policy.OpPolicy, Action: policy.Deny}}}
	got := eval.Explain(made, eval.Event{Op: policy.OpPolicy}).String()
	if strings.Contains(got, "line") {
		t.Errorf("a rule without a line has one in %q", got)
	}
}

func TestNames(t *testing.T) {
	if got := eval.Hook(200).String(); got != "UNKNOWN" {
		t.Errorf("a hook that is none is %q", got)
	}
	var hooks []string
	for h := eval.HookBprmCheck; h <= eval.HookKernelLoad; h++ {
		hooks = append(hooks, h.String())
		text, err := h.MarshalText()
		var back eval.Hook
		if err := errors.Join(err, back.UnmarshalText(text)); err != nil || back != h {
			t.Errorf("%v is read as %v, %v", h, back, err)
		}
	}
	var none eval.Hook
	if _, err := eval.Hook(200).MarshalText(); err == nil || none.UnmarshalText([]byte("UNKNOWN")) == nil {
		t.Error("a hook that is none has a text")
	}
	want := "BPRM_CHECK BPRM_CREDS_FOR_EXEC MMAP MPROTECT KERNEL_READ KERNEL_LOAD"
	if got := strings.Join(hooks, " "); got != want {
		t.Errorf("hooks are %s, want %s", got, want)
	}
}
