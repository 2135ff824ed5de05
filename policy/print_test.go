package policy_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/policy"
)

const full = "policy_name=appliance policy_version=1.2.3\n" +
	"DEFAULT action=DENY\n" +
	"DEFAULT op=KMODULE action=ALLOW\n" +
	"op=EXECUTE boot_verified=TRUE action=ALLOW\n" +
	"op=KMODULE dmverity_signature=FALSE dmverity_roothash=sha256:cd2c action=DENY\n" +
	"op=EXECUTE fsverity_signature=TRUE fsverity_digest=sha512: action=ALLOW\n"

func parse(t testing.TB, text string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse([]byte(text))
	if err != nil {
		t.Fatalf("parse: %v", err)
	}
	return p
}

func opActions(op policy.Op, a policy.Action) (all policy.OpActions) {
	all.Set(op, a)
	return all
}

func TestParseGivesAllFields(t *testing.T) {
	want := &policy.Policy{
		Name: "appliance", Version: policy.Version{Major: 1, Minor: 2, Rev: 3},
		Default:   policy.Deny,
		OpDefault: opActions(policy.OpKModule, policy.Allow),
		Rules: []policy.Rule{
			{Op: policy.OpExecute, Action: policy.Allow, Line: 4, Properties: []policy.Property{
				{Key: policy.BootVerified, Value: true}}},
			{Op: policy.OpKModule, Action: policy.Deny, Line: 5, Properties: []policy.Property{
				{Key: policy.DMVeritySignature},
				{Key: policy.DMVerityRoothash, Digest: digest.New("sha256", []byte{0xcd, 0x2c})}}},
			{Op: policy.OpExecute, Action: policy.Allow, Line: 6, Properties: []policy.Property{
				{Key: policy.FSVeritySignature, Value: true},
				{Key: policy.FSVerityDigest, Digest: digest.New("sha512", nil)}}},
		},
	}
	got := parse(t, full)
	// A type without the Equal method, so that cmp looks at every field.
	type fields policy.Policy
	if diff := cmp.Diff((*fields)(want), (*fields)(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got.String() != full {
		t.Errorf("prints as %q, want %q", got, full)
	}
}

func TestParseKeepsNothingOfItsInput(t *testing.T) {
	text := []byte(full)
	p, err := policy.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	clear(text)
	if p.String() != full {
		t.Errorf("prints as %q after the input was cleared", p)
	}
}

func TestEqual(t *testing.T) {
	p := parse(t, full)
	if !p.Equal(parse(t, "\n\n"+full)) {
		t.Error("lines of rules were compared")
	}
	changes := map[string]func(q *policy.Policy){
		"name":       func(q *policy.Policy) { q.Name = "x" },
		"version":    func(q *policy.Policy) { q.Version.Rev++ },
		"default":    func(q *policy.Policy) { q.Default = policy.Allow },
		"op default": func(q *policy.Policy) { q.OpDefault.Set(policy.OpPolicy, policy.Deny) },
		"rules":      func(q *policy.Policy) { q.Rules = q.Rules[1:] },
		"op":         func(q *policy.Policy) { q.Rules[0].Op = policy.OpPolicy },
		"action":     func(q *policy.Policy) { q.Rules[0].Action = policy.Deny },
		"value":      func(q *policy.Policy) { q.Rules[0].Properties[0].Value = false },
		"digest":     func(q *policy.Policy) { q.Rules[1].Properties[1].Digest = digest.New("sha256", []byte{1}) },
		"order":      func(q *policy.Policy) { q.Rules[0], q.Rules[2] = q.Rules[2], q.Rules[0] },
	}
	for name, change := range changes {
		q := parse(t, full)
		change(q)
		if p.Equal(q) || q.Equal(p) {
			t.Errorf("%s is not compared", name)
		}
	}
	var none *policy.Policy
	if p.Equal(nil) || none.Equal(p) || !none.Equal(nil) {
		t.Error("nil equals nil only")
	}
}

// TestRulesDoNotShareMemory appends to one rule and looks at the next.
func TestRulesDoNotShareMemory(t *testing.T) {
	p := parse(t, full)
	p.Rules[0].Properties = append(p.Rules[0].Properties, policy.Property{Key: policy.FSVeritySignature})
	if got, want := p.Rules[1].String(), "op=KMODULE dmverity_signature=FALSE dmverity_roothash=sha256:cd2c action=DENY"; got != want {
		t.Errorf("the next rule became %q", got)
	}
}

func TestStrings(t *testing.T) {
	p := parse(t, full)
	if got, want := p.Rules[1].Properties[1].String(), "dmverity_roothash=sha256:cd2c"; got != want {
		t.Errorf("property is %q, want %q", got, want)
	}
	if got, want := p.Rules[0].String(), "op=EXECUTE boot_verified=TRUE action=ALLOW"; got != want {
		t.Errorf("rule is %q, want %q", got, want)
	}
	if got := policy.Op(200).String(); got != "?" {
		t.Errorf("an operation that is none is %q, want ?", got)
	}
}

func TestKeySet(t *testing.T) {
	set := policy.Keys(policy.BootVerified, policy.FSVerityDigest)
	for _, k := range policy.AllKeys() {
		want := k == policy.BootVerified || k == policy.FSVerityDigest
		if set.Has(k) != want {
			t.Errorf("%v in the set: %t, want %t", k, set.Has(k), want)
		}
	}
}
