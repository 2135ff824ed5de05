package bpf

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/ruletab"
	"github.com/ipe-linux/ipe/internal/strict"
)

// SetProfile makes profile what is asked. See [engine.Profiler]. What is new is followed
// and judged before it is asked; what is no longer asked is let go last.
func (e *Engine) SetProfile(profile engine.Profile) error {
	e.asking.Lock()
	defer e.asking.Unlock()
	before := *e.profile.Swap(&profile)
	err := e.follow()
	if err == nil {
		err = e.ask(profile)
	}
	if err != nil {
		e.profile.Store(&before)
		return fmt.Errorf("set profile: %w", errors.Join(err, e.ask(before)))
	}
	if err := e.letGo(profile); err != nil {
		e.log.Warn("a program stays attached that the profile does not ask for", "error", err)
	}
	return nil
}

// follow attaches what the profile asks for and is not attached.
func (e *Engine) follow() error {
	var missing []hook
	for _, h := range hooks() {
		if h.wantedBy(*e.profile.Load()) && e.links.get(h.name) == nil && !e.lacks[h.name] {
			missing = append(missing, h)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	defer releaseTypes()
	spec, err := loadIpe()
	if err != nil {
		return fmt.Errorf("read embedded BPF object: %w", err)
	}
	types := btf.NewCache()
	kernel, err := types.Kernel()
	if err != nil {
		return fmt.Errorf("read kernel BTF: %w", err)
	}
	wanted, err := e.supported(missing, kernel)
	if err != nil {
		return err
	}
	if err := e.load(spec, wanted, types); err != nil {
		return err
	}
	e.followTables(types)
	return nil
}

// endMarks takes the exceptions of all processes that have some, if these hooks, which were
// not attached or are so now, are among those that see who is traced, and no other build
// has seen it: a tracer may have come in.
func (p *pinned) endMarks(missing []hook) error {
	if !slices.ContainsFunc(missing, func(h hook) bool { return h.name == traces || h.name == traced }) {
		return nil
	}
	others, err := p.dir.otherBuilds()
	if err != nil {
		return err
	}
	for _, dir := range others {
		if exists(dir, traces) && exists(dir, traced) {
			return nil
		}
	}
	var epoch [8]byte
	_, _ = rand.Read(epoch[:]) // it never fails
	if err := p.maps[mapEpoch].Put(slot, epoch[:]); err != nil {
		return fmt.Errorf("end exceptions: %w", err)
	}
	return keepOnly(p.maps[mapVoid], map[ipeBirth]uint8{}) // nothing is left to be void
}

// exists reports whether another build has a hook attached.
func exists(dir, hook string) bool {
	_, err := os.Lstat(filepath.Join(dir, "link_"+hook))
	return err == nil
}

// letGo detaches what the profile does not ask for.
func (p *pinned) letGo(profile engine.Profile) (err error) {
	p.pinning.Lock()
	defer p.pinning.Unlock()
	for _, h := range hooks() {
		if h.wantedBy(profile) {
			continue
		}
		if l := p.links.take(h.name); l != nil {
			err = errors.Join(err, p.detach(h), l.Close())
		}
	}
	return err
}

// ask tells the programs what is asked. Executables are excepted before the profile says
// so, and those that no longer are lose it after.
func (p *pinned) ask(profile engine.Profile) error {
	x := ruletab.Except(profile.Exceptions)
	if err := errors.Join(putAll(p.maps[mapExcepts], x.Allowed), putAll(p.maps[mapIDs], x.Numbers), putAll(p.maps[mapNames], x.Names), putAll(p.maps[mapDigests], x.Digests)); err != nil {
		return err
	}
	if err := p.putProfile(profile, x.Kinds, p.missed()); err != nil {
		return err
	}
	return errors.Join(keepOnly(p.maps[mapNames], x.Names), keepOnly(p.maps[mapDigests], x.Digests), keepOnly(p.maps[mapIDs], x.Numbers), keepOnly(p.maps[mapExcepts], x.Allowed))
}

func putAll[K comparable, V any](m *ebpf.Map, all map[K]V) error {
	for k, v := range all {
		if err := m.Put(&k, &v); err != nil {
			return err
		}
	}
	return nil
}

// keepOnly takes out of m what is not in all.
func keepOnly[K comparable, V any](m *ebpf.Map, all map[K]V) error {
	keys, err := keysOf[K, V](m)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if _, ok := all[k]; ok {
			continue
		}
		if err := m.Delete(&k); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return err
		}
	}
	return nil
}

// keysOf lists what the kernel holds. Nobody else changes it meanwhile.
func keysOf[K, V any](m *ebpf.Map) (keys []K, err error) {
	var k K
	var v V
	for it := m.Iterate(); ; {
		if !it.Next(&k, &v) {
			return keys, it.Err()
		}
		keys = append(keys, k)
	}
}

// putProfile: missed takes the facts of volumes away.
func (p *pinned) putProfile(profile engine.Profile, kinds uint32, missed bool) error {
	value := ipeProfile{Honest: number(profile.HonestFacts), Missed: number(missed), Excepted: kinds}
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
	p.asking.Lock() // or entries would go while they are counted
	excepted, err := keysOf[ruletab.Identity, uint64](p.maps[mapIDs])
	p.asking.Unlock()
	if err != nil {
		return err
	}
	s.Excepted = len(excepted)
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
