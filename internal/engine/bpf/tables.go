package bpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"

	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/engine/bpf/offsets"
)

// followTables attaches, once device-mapper is there, what learns which tables its devices
// have, if the profile asks for it. Whatever goes wrong costs volumes their facts.
func (p *pinned) followTables(types *btf.Cache) {
	if !p.profile.Load().HonestFacts || p.links.get(swapTable) != nil {
		return
	}
	if err := p.attachTables(types); err != nil {
		p.log.Error("volumes have no dm-verity facts: changes of their tables cannot be followed", "error", err)
	}
}

// attachTables pins nothing before all devices are known: of a process that is killed in
// between nothing stays, and the next one begins anew.
func (p *pinned) attachTables(types *btf.Cache) error {
	wanted, err := p.missingMapperHooks(types)
	if err != nil || len(wanted) == 0 {
		return err
	}
	if err := p.forgetTables(); err != nil {
		return err
	}
	spec, err := loadIpe()
	if err != nil {
		return fmt.Errorf("read embedded BPF object: %w", err)
	}
	known := hook{name: knownDevice, program: "ipe_known_device", traced: true}
	coll, err := p.loadOnly(spec, append(wanted, known), types)
	if err != nil {
		return err
	}
	defer coll.Close()
	var links []link.Link
	for _, h := range append(wanted, known) {
		l, err := attachProgram(h, coll.Programs[h.program])
		if err != nil {
			return errors.Join(err, closeAll(links))
		}
		links = append(links, l)
	}
	if err := learnTables(); err != nil {
		return errors.Join(err, closeAll(links))
	}
	for i, h := range wanted {
		err = errors.Join(err, p.keepLink(h, links[i]))
	}
	return errors.Join(err, links[len(wanted)].Close())
}

// missingMapperHooks are those of device-mapper that are to be attached; none while it is
// not there.
func (p *pinned) missingMapperHooks(types *btf.Cache) (wanted []hook, err error) {
	for _, h := range hooks() {
		if !h.mapper || p.links.get(h.name) != nil {
			continue
		}
		there, err := offsets.HasMapperFunction(types, h.name)
		if err != nil || !there {
			return nil, err
		}
		wanted = append(wanted, h)
	}
	return wanted, nil
}

func closeAll(links []link.Link) (err error) {
	for _, l := range links {
		err = errors.Join(err, l.Close())
	}
	return err
}

// forgetTables forgets what was learned when tables were followed once before, but for the
// devices that have had another table, and unless another build has followed them since.
func (p *pinned) forgetTables() error {
	others, err := p.dir.otherBuilds()
	if err != nil || len(others) > 0 {
		return err
	}
	var md uint64
	var known ipeTables
	var stale []uint64
	all := p.maps[mapTables].Iterate()
	for all.Next(&md, &known) {
		if known.Only != 0 {
			stale = append(stale, md)
		}
	}
	err = all.Err()
	for _, md := range stale {
		err = errors.Join(err, p.maps[mapTables].Delete(&md))
	}
	if err != nil {
		return fmt.Errorf("forget mapped devices: %w", err)
	}
	return nil
}

// learnTables makes the devices known that are there: the kernel is asked for the name of
// each, on which way it calls a program of ours with the device.
func learnTables() error {
	for _, device := range mappedDevices() {
		if _, err := os.ReadFile(filepath.Join(device, "dm", "name")); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("ask for a mapped device: %w", err)
		}
	}
	return nil
}

func mappedDevices() []string {
	all, _ := filepath.Glob("/sys/block/dm-*") // the pattern is well formed
	return all
}

// tellTables says what is known of the tables of devices.
func (p *pinned) tellTables(s *engine.State) error {
	if p.checkMissed(); p.missed() {
		s.Problems = append(s.Problems, "the kernel has left out a program that follows the tables of mapped devices: no volume has dm-verity facts until the machine is booted again")
	}
	if p.links.get(swapTable) == nil && len(mappedDevices()) > 0 {
		s.Problems = append(s.Problems, "volumes have no dm-verity facts: changes of their tables are not followed, the log of iped says why")
	}
	var md uint64
	var known ipeTables
	all := p.maps[mapTables].Iterate()
	for all.Next(&md, &known) {
		switch {
		case known.Only == 0:
			s.Swapped++
		case known.Before != 0:
			s.Unknown++
		}
	}
	return all.Err()
}

// missed reads back whether volumes have lost their facts.
func (p *pinned) missed() bool {
	var profile ipeProfile
	err := p.maps[mapProfile].Lookup(slot, &profile)
	return err != nil || profile.Missed != 0
}

// checkMissed takes the facts of all volumes away if the kernel has left out a program that
// follows tables, as it does while that is at work on the same processor.
func (p *pinned) checkMissed() {
	l := p.links.get(swapTable)
	if l == nil || p.missed() {
		return
	}
	n, err := misses(l)
	if n == 0 && err == nil {
		return
	}
	p.log.Error("volumes have no dm-verity facts: changes of their tables were not followed", "missed", n, "error", err)
	if err := p.noteMissed(); err != nil {
		p.log.Error("volumes keep their dm-verity facts", "error", err)
	}
}

func (p *pinned) noteMissed() error {
	p.asking.Lock()
	defer p.asking.Unlock()
	var value ipeProfile
	if err := p.maps[mapProfile].Lookup(slot, &value); err != nil {
		return err
	}
	value.Missed = 1
	return p.maps[mapProfile].Put(slot, &value)
}

// misses counts the calls that were left out of the program of a link.
func misses(l link.Link) (uint64, error) {
	p, err := programOf(l)
	if err != nil {
		return 0, err
	}
	defer p.Close()
	stats, err := p.Stats()
	if err != nil {
		return 0, err
	}
	return stats.RecursionMisses, nil
}
