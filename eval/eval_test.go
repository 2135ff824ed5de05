package eval_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/conformance"
	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/policy"
)

// TestConformance runs the vectors: the truth table, first match, scopes.
func TestConformance(t *testing.T) {
	for _, c := range conformance.EvalCases() {
		t.Run(c.ID, func(t *testing.T) {
			p, e := parse(t, c.Policy), event(t, c)
			d := eval.Decide(p, e)
			if d.Action.String() != c.Action || d.Scope.String() != c.Scope || d.Rule != c.Rule {
				t.Errorf("%s: %v by %v, rule %d; want %s by %s, rule %d",
					c.Why, d.Action, d.Scope, d.Rule, c.Action, c.Scope, c.Rule)
			}
			checkTrace(t, p, e)
		})
	}
}

// event turns a case into the event that it describes.
func event(t testing.TB, c conformance.EvalCase) eval.Event {
	t.Helper()
	e := eval.Event{Op: lookup(t, c.Op, policy.OpUnknown), Hook: lookup(t, c.Hook, eval.HookKernelLoad)}
	e.Evidence = eval.Evidence{
		BootVerified: c.Evidence.BootVerified,
		RootHash:     parseDigest(t, c.Evidence.RootHash), RootHashSigned: c.Evidence.RootHashSigned,
		FileDigest: parseDigest(t, c.Evidence.FileDigest), FileDigestSigned: c.Evidence.FileDigestSigned,
	}
	for _, name := range c.Evidence.Unavailable {
		k, err := policy.ParseKey(name)
		if err != nil {
			t.Fatal(err)
		}
		e.Evidence.Unavailable |= policy.Keys(k)
	}
	return e
}

// lookup finds a value from 0 to last by its name.
func lookup[T interface {
	~uint8
	fmt.Stringer
}](t testing.TB, name string, last T) T {
	t.Helper()
	for v := T(0); v <= last; v++ {
		if v.String() == name {
			return v
		}
	}
	t.Fatalf("%q is no %T", name, last)
	return 0
}

func parseDigest(t testing.TB, s string) digest.Digest {
	t.Helper()
	if s == "" {
		return digest.Digest{}
	}
	d, err := digest.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func parse(t testing.TB, text string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestTruthTableIsWhole guards the vectors themselves: all eight forms, each both
// true and false somewhere, and false in both forms when compiled out.
func TestTruthTableIsWhole(t *testing.T) {
	seen := map[string]map[string]bool{}
	for _, c := range conformance.EvalCases() {
		_, form, ok := strings.Cut(strings.TrimPrefix(c.ID, "truth/"), "/")
		if !ok || !strings.HasPrefix(c.ID, "truth/") {
			continue
		}
		if seen[form] == nil {
			seen[form] = map[string]bool{}
		}
		seen[form][c.Action] = true
	}
	if len(seen) != 8 {
		t.Errorf("%d forms of properties, want 8", len(seen))
	}
	for form, actions := range seen {
		if len(actions) != 2 {
			t.Errorf("%s is only ever %v", form, actions)
		}
	}
}

func TestNoPolicyAllows(t *testing.T) {
	for op := policy.OpExecute; op <= policy.OpUnknown; op++ {
		want := eval.Decision{Action: policy.Allow, Scope: policy.ScopeGlobal, Rule: eval.NoRule}
		if got := eval.Decide(nil, eval.Event{Op: op}); got != want {
			t.Errorf("%v: %+v, want %+v", op, got, want)
		}
	}
}

// TestHookDoesNotDecide asks the same for every hook.
func TestHookDoesNotDecide(t *testing.T) {
	for _, c := range conformance.EvalCases() {
		p, e := parse(t, c.Policy), event(t, c)
		want := eval.Decide(p, e)
		for h := eval.HookBprmCheck; h <= eval.HookKernelLoad; h++ {
			if e.Hook = h; eval.Decide(p, e) != want {
				t.Errorf("%s: %v decides otherwise", c.ID, h)
			}
		}
	}
}

// TestBootVerifiedIsAlwaysAvailable names it unavailable, which nothing can be.
func TestBootVerifiedIsAlwaysAvailable(t *testing.T) {
	ev := eval.Evidence{BootVerified: true, Unavailable: policy.Keys(policy.BootVerified)}
	if !eval.Holds(policy.Property{Key: policy.BootVerified, Value: true}, &ev) {
		t.Error("boot_verified=TRUE does not hold on the initramfs")
	}
}

// lastRuleMatches returns a policy of n rules of which only the last applies to
// the event.
func lastRuleMatches(b *testing.B, n int) (*policy.Policy, eval.Event) {
	text := []byte("policy_name=p policy_version=0.0.0\nDEFAULT action=DENY\n")
	for i := range n {
		text = fmt.Appendf(text, "op=EXECUTE fsverity_digest=sha256:%064x action=ALLOW\n", i)
	}
	p := parse(b, string(text))
	return p, eval.Event{Evidence: eval.Evidence{FileDigest: p.Rules[n-1].Properties[0].Digest}}
}

func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{1, 100, 10000} {
		p, e := lastRuleMatches(b, n)
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if d := eval.Decide(p, e); d.Rule != n-1 {
					b.Fatalf("rule %d decided", d.Rule)
				}
			}
		})
	}
}
