package ruletab_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/ruletab"
	"github.com/ipe-linux/ipe/policy"
)

// digests that rules and files are made of: few, so that they meet often, and
// with all that is odd about literals.
var digests = []digest.Digest{
	digest.New("sha256", bytes.Repeat([]byte{1}, 32)),
	digest.New("sha256", bytes.Repeat([]byte{2}, 32)),
	digest.New("sha512", bytes.Repeat([]byte{1}, 64)),
	digest.New("SHA256", bytes.Repeat([]byte{1}, 32)),
	digest.New("sha256", bytes.Repeat([]byte{1}, 28)),
	digest.New("", []byte{1}),
	digest.New("sha256", nil),
	digest.New("a-name-that-no-hash-algorithm-has", []byte{1}),
	digest.New("sha512", bytes.Repeat([]byte{1}, 65)),
}

// possible are those that a kernel could report: the zero digest for none, and
// those that fit.
var possible = append([]digest.Digest{{}}, digests[:5]...)

// policyFrom reads a policy out of arbitrary bytes.
func policyFrom(data []byte) *policy.Policy {
	next := func() byte {
		if len(data) == 0 {
			return 0
		}
		b := data[0]
		data = data[1:]
		return b
	}
	p := &policy.Policy{Name: "p", Default: policy.Action(next() % 3)}
	for _, op := range policy.Ops() {
		if p.OpDefault.Set(op, policy.Action(next()%3)); p.Default == policy.NoAction && p.OpDefault.Of(op) == policy.NoAction {
			p.OpDefault.Set(op, policy.Deny)
		}
	}
	for len(data) > 0 {
		head := next()
		r := policy.Rule{Op: policy.Op(head>>1) % 3, Action: policy.Allow + policy.Action(head&1)}
		for range head >> 4 % 5 {
			b := next()
			r.Properties = append(r.Properties, policy.Property{
				Key: policy.Key(b % 5), Value: b&0x80 != 0, Digest: digests[int(b>>3)%len(digests)],
			})
		}
		p.Rules = append(p.Rules, r)
	}
	for i := range p.Rules { // as the parser gives them: only the value that counts
		for j := range p.Rules[i].Properties {
			if q := &p.Rules[i].Properties[j]; q.Key.IsDigest() {
				q.Value = false
			} else {
				q.Digest = digest.Digest{}
			}
		}
	}
	return p
}

// everyEvidence calls fn with each combination of facts.
func everyEvidence(unavailable policy.KeySet, fn func(eval.Evidence)) {
	for bits := range 8 {
		for _, root := range possible {
			for _, file := range possible {
				fn(eval.Evidence{
					BootVerified: bits&1 != 0, RootHashSigned: bits&2 != 0, FileDigestSigned: bits&4 != 0,
					RootHash: root, FileDigest: file, Unavailable: unavailable,
				})
			}
		}
	}
}

// compare demands that tables and oracle agree about everything.
func compare(t *testing.T, p *policy.Policy, unavailable policy.KeySet) {
	t.Helper()
	tab, err := ruletab.Lower(p, unavailable)
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range []policy.Op{0, 1, 2, 3, policy.OpUnknown} {
		everyEvidence(unavailable, func(ev eval.Evidence) {
			e := eval.Event{Op: op, Evidence: ev}
			if got, want := tab.Decide(e), eval.Decide(p, e); got != want {
				t.Fatalf("policy %+v\nunavailable %b\nevent %+v\ntables say %+v, policy says %+v", p, unavailable, e, got, want)
			}
		})
	}
}

func FuzzLower(f *testing.F) {
	f.Add([]byte{}, byte(0))
	f.Add([]byte("\x02\x00\x00\x00\x00\x00\x00\x00\x21\x01\x09\x30\x03\x01\x02\x10\x85"), byte(0))
	f.Add(bytes.Repeat([]byte{0x40, 0x81, 0x03, 0x0b, 0x82}, 12), byte(0x10))
	f.Add(bytes.Repeat([]byte{0x51, 0x21, 0x13, 0x1b, 0x02, 0x84}, 9), byte(0x04))
	f.Fuzz(func(t *testing.T, data []byte, unavailable byte) {
		// More rules add time, not cases.
		compare(t, policyFrom(data[:min(len(data), 100)]), policy.KeySet(unavailable)&^policy.Keys(policy.BootVerified))
	})
}

// TestFirstMatch spells out the case that the split by digests could get wrong:
// an earlier rule under one key against later ones under the others.
func TestFirstMatch(t *testing.T) {
	root := policy.Property{Key: policy.DMVerityRoothash, Digest: digests[0]}
	file := policy.Property{Key: policy.FSVerityDigest, Digest: digests[1]}
	rules := [][]policy.Property{{root, file}, {file}, {root}, {}}
	for shift := range rules {
		p := &policy.Policy{Default: policy.Deny}
		for i := range rules {
			p.Rules = append(p.Rules, policy.Rule{Properties: rules[(i+shift)%len(rules)], Action: policy.Allow + policy.Action(i&1)})
		}
		t.Run(fmt.Sprint(shift), func(t *testing.T) { compare(t, p, 0) })
	}
}

// TestUnusedFactsAreNotNeeded: a policy without a property never has it read.
func TestUnusedFactsAreNotNeeded(t *testing.T) {
	p := &policy.Policy{Default: policy.Deny, Rules: []policy.Rule{
		{Op: policy.OpExecute, Properties: []policy.Property{{Key: policy.BootVerified, Value: true}}, Action: policy.Allow},
		{Op: policy.OpKModule, Properties: []policy.Property{{Key: policy.FSVerityDigest, Digest: digests[6]}}, Action: policy.Allow},
		{Op: policy.OpPolicy, Properties: []policy.Property{{Key: policy.DMVerityRoothash, Digest: digests[0]}}, Action: policy.Allow},
	}}
	tab, err := ruletab.Lower(p, 0)
	if err != nil {
		t.Fatal(err)
	}
	for op, want := range map[policy.Op]uint32{
		policy.OpExecute: ruletab.NeedBoot, policy.OpKModule: 0, policy.OpPolicy: ruletab.NeedRoot, policy.OpFirmware: 0,
	} {
		if got := tab.Entries[ruletab.Key{Op: uint8(op)}].Needs; got != want {
			t.Errorf("%v needs %b, want %b", op, got, want)
		}
	}
}

func TestTooManyRules(t *testing.T) {
	p := &policy.Policy{Name: "big", Default: policy.Deny, Rules: make([]policy.Rule, ruletab.MaxRules+1)}
	if _, err := ruletab.Lower(p, 0); err == nil {
		t.Error("a policy of MaxRules+1 rules was lowered")
	}
}

// BenchmarkDecide looks for the last rule, the worst case for a list.
func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		p := &policy.Policy{Default: policy.Deny}
		for i := range n {
			d := digest.New("sha256", []byte(fmt.Sprintf("%032d", i)))
			p.Rules = append(p.Rules, policy.Rule{
				Properties: []policy.Property{{Key: policy.FSVerityDigest, Digest: d}}, Action: policy.Allow,
			})
		}
		tab, err := ruletab.Lower(p, 0)
		if err != nil {
			b.Fatal(err)
		}
		e := eval.Event{Evidence: eval.Evidence{FileDigest: p.Rules[n-1].Properties[0].Digest}}
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if tab.Decide(e).Rule != n-1 {
					b.Fatal("wrong rule")
				}
			}
		})
	}
}

// TestEvent has each fact by its own bit.
func TestEvent(t *testing.T) {
	for present, want := range map[uint32]eval.Evidence{
		0:                                   {},
		ruletab.NeedRoot | ruletab.NeedFile: {}, // the digests are elsewhere
		ruletab.NeedBoot:                    {BootVerified: true},
		ruletab.NeedRootSigned | ruletab.NeedRoot:    {RootHashSigned: true},
		ruletab.NeedFileSigned | ruletab.NeedFile:    {FileDigestSigned: true},
		ruletab.NeedBoot | ruletab.NeedFileSigned:    {BootVerified: true, FileDigestSigned: true},
		ruletab.NeedRootSigned | 1<<30 /* unknown*/ : {RootHashSigned: true},
	} {
		got := ruletab.Event(uint8(policy.OpKModule), uint8(eval.HookMmap), present)
		if got != (eval.Event{Op: policy.OpKModule, Hook: eval.HookMmap, Evidence: want}) {
			t.Errorf("%#x: %+v, want %+v", present, got, want)
		}
	}
}
