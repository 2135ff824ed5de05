package bpf

import (
	"fmt"

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
	if s.Profile.HonestFacts {
		if err := p.tellTables(s); err != nil {
			return err
		}
	}
	return p.countRules(s)
}

func (p *pinned) countRules(s *engine.State) error {
	for _, r := range strict.All() {
		if s.Profile.Rules[r] == strict.Off {
			continue
		}
		var n ipeRuleCount
		if err := p.maps[mapRules].Lookup(uint32(r), &n); err != nil {
			return fmt.Errorf("%s: %w", r, err)
		}
		s.RuleCounts = append(s.RuleCounts, engine.RuleCount{Rule: r, Monitored: n.Monitored, Refused: n.Refused})
	}
	return nil
}
