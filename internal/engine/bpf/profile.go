package bpf

import (
	"fmt"
	"slices"

	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/strict"
)

// putProfile: missed takes the facts of volumes away.
func (p *pinned) putProfile(profile engine.Profile, missed bool) error {
	value := ipeProfile{Honest: number(profile.HonestFacts), Missed: number(missed)}
	for i, s := range profile.Rules {
		value.Rules[i] = uint8(s)
	}
	if err := p.maps[mapProfile].Put(slot, &value); err != nil {
		return fmt.Errorf("set profile: %w", err)
	}
	return nil
}

// readProfile says by which profile the kernel decides, and what came of it.
func (p *pinned) readProfile(s *engine.State) error {
	var value ipeProfile
	if err := p.maps[mapProfile].Lookup(slot, &value); err != nil {
		return err
	}
	s.Profile.HonestFacts = value.Honest != 0
	for i := range s.Profile.Rules {
		s.Profile.Rules[i] = strict.Switch(value.Rules[i])
	}
	if err := p.countRules(s); err != nil || !s.Profile.HonestFacts {
		return err
	}
	return p.tellTables(s)
}

func (p *pinned) countRules(s *engine.State) error {
	for _, r := range strict.All() {
		if s.Profile.Rules[r] == strict.Off {
			continue
		}
		judges := func(h hook) bool { return slices.Contains(h.rules, r) && p.links.get(h.name) != nil }
		if !slices.ContainsFunc(hooks(), judges) {
			s.Problems = append(s.Problems, "strict rule "+r.String()+" is switched on, and no program judges it: this kernel has nothing to attach it to")
		}
		var n ipeRuleCount
		if err := p.maps[mapRules].Lookup(uint32(r), &n); err != nil {
			return fmt.Errorf("%s: %w", r, err)
		}
		s.RuleCounts = append(s.RuleCounts, engine.RuleCount{Rule: r, Monitored: n.Monitored, Refused: n.Refused})
	}
	return nil
}
