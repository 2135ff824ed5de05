package strict

import (
	"errors"
	"slices"
	"testing"
)

func TestRules(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range All() {
		again, err := ParseRule(r.String())
		if err != nil || again != r || seen[r.String()] || r.Refuses() == "" {
			t.Errorf("%v: %v, %v, %q", r, again, err, r.Refuses())
		}
		seen[r.String()] = true
	}
	if len(seen) != int(Count)-1 {
		t.Errorf("%d rules", len(seen))
	}
	for _, name := range []string{"", "none", "MAP-WX", "map-wx ", "rule 9"} {
		if r, err := ParseRule(name); !errors.Is(err, ErrRule) || r != None {
			t.Errorf("%q: %v, %v", name, r, err)
		}
	}
}

func TestSet(t *testing.T) {
	r := Enforced()
	for _, text := range []string{"map-wx=monitor", "ptrace=off", "ptrace=monitor", "traceme=enforce"} {
		if err := r.Set(text); err != nil {
			t.Error(err)
		}
	}
	if got, want := r.Changed(Enforced()), []string{"map-wx=monitor", "ptrace=monitor"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	before := r
	for text, want := range map[string]error{"": ErrForm, "map-wx": ErrForm, "=off": ErrRule, "none=off": ErrRule, "map-wx=": ErrSwitch, "map-wx=Off": ErrSwitch, "map-wx=off=off": ErrSwitch} {
		if err := r.Set(text); !errors.Is(err, want) || r != before {
			t.Errorf("%q: %v, want %v", text, err, want)
		}
	}
	if r.Any() || !r.Any(ProcMem) || (Rules{}).Any(All()...) {
		t.Error("which are looked at")
	}
}

func FuzzSet(f *testing.F) {
	f.Add("map-wx=off")
	f.Add("ptrace==")
	f.Fuzz(func(t *testing.T, text string) {
		r := Enforced()
		if r.Set(text) != nil {
			if r != Enforced() {
				t.Errorf("%q changed %v", text, r)
			}
			return
		}
		if got := r.Changed(Enforced()); len(got) > 1 || len(got) == 1 && got[0] != text {
			t.Errorf("%q changed %q", text, got)
		}
	})
}

// FuzzParseRule: a name is that of the rule found by it, and of no other.
func FuzzParseRule(f *testing.F) {
	f.Add("map-wx")
	f.Add("none")
	f.Fuzz(func(t *testing.T, name string) {
		r, err := ParseRule(name)
		if err == nil && (r.String() != name || r == None || r >= Count) || err != nil && (r != None || !errors.Is(err, ErrRule)) {
			t.Errorf("%q: %v, %v", name, r, err)
		}
	})
}
