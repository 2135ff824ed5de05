package bpf

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/engine/bpf/ftrace"
	"github.com/ipe-linux/ipe/internal/ruletab"
)

// The maps, by their names in bpf/maps.h.
const (
	mapActive  = "ipe_active"
	mapControl = "ipe_control"
	mapProfile = "ipe_profile"
	mapWalk    = "ipe_walk"
	mapSigned  = "ipe_signed_inodes"
	mapTables  = "ipe_tables"
	mapWritten = "ipe_written"
	mapRules   = "ipe_rules"
	mapMarks   = "ipe_marks"
	mapVoid    = "ipe_void"
	mapEpoch   = "ipe_epoch"
	mapIDs     = "ipe_identities"
	mapExcepts = "ipe_exceptions"
	mapNames   = "ipe_names"
	mapDigests = "ipe_digests"
	mapRoots   = "ipe_signed_roots"
	mapEvents  = "ipe_events"
	mapLost    = "ipe_lost"
	mapShares  = "ipe_shares"
	mapReader  = "ipe_reader"
)

// sharedMaps are those that all builds share.
var sharedMaps = []string{mapSigned, mapTables, mapWritten, mapRoots, mapMarks, mapVoid, mapEpoch}

// buildName names this build of the kernel side. Another build has its own pins, so
// that both can enforce while one replaces the other.
func buildName() string {
	sum := sha256.Sum256(_IpeBytes)
	return fmt.Sprintf("v%d-%x", ruletab.LayoutVersion, sum[:8])
}

// pinned is what the kernel keeps when this process ends, and where.
type pinned struct {
	log    *slog.Logger
	dir    *pinDir
	maps   map[string]*ebpf.Map
	links  links
	ftrace *ftrace.Guard
	// profile is what is asked; asking serialises its changes.
	profile atomic.Pointer[engine.Profile]
	asking  sync.Mutex
	// pinning serialises the mending of pins; unpinnable says what it could not do.
	pinning    sync.Mutex
	unpinnable error
	recalled   atomic.Bool // what was in memory before is known
}

// links hold the programs, by the names of their hooks. Some come when a driver does.
type links struct {
	mu  sync.Mutex
	all map[string]link.Link
}

func (l *links) get(hook string) link.Link {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all[hook]
}

func (l *links) set(hook string, to link.Link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all[hook] = to
}

// take gives a link that is held no longer; nil if there is none.
func (l *links) take(hook string) link.Link {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer delete(l.all, hook)
	return l.all[hook]
}

func (l *links) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return closeAll(slices.Collect(maps.Values(l.all)))
}

// openMaps opens the pinned maps and makes those that are missing.
func (p *pinned) openMaps(spec *ebpf.CollectionSpec) error {
	for name, m := range spec.Maps {
		m = m.Copy()
		m.Pinning = ebpf.PinByName
		opened, err := ebpf.NewMapWithOptions(m, ebpf.MapOptions{PinPath: p.mapDir(name)})
		if err != nil {
			return fmt.Errorf("open map %s: %w", name, err)
		}
		p.maps[name] = opened
	}
	return nil
}

// mapDir is where a map is pinned.
func (p *pinned) mapDir(name string) string {
	if slices.Contains(sharedMaps, name) {
		return p.dir.root
	}
	return p.dir.build
}

// inherit takes over, from another build that decides by tables of the same layout,
// its active policy and its mode. Only a build without a policy does so.
func (e *Engine) inherit() error {
	if _, ok, err := e.meta(); err != nil || ok {
		return err
	}
	dirs, err := e.dir.otherBuilds()
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		var version int
		if _, err := fmt.Sscanf(filepath.Base(dir), "v%d-", &version); err != nil || version != ruletab.LayoutVersion {
			continue
		}
		done, err := e.inheritFrom(dir)
		if err != nil {
			return fmt.Errorf("take over from another build: %s: %w", dir, err)
		}
		if done {
			e.log.Info("took over the active policy of another build of the engine", "pins", dir)
			return nil
		}
	}
	return nil
}

func (p *pinned) inheritFrom(dir string) (done bool, err error) {
	active, err := ebpf.LoadPinnedMap(filepath.Join(dir, mapActive), nil)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer active.Close()
	table, err := activeTable(active)
	if err != nil || table == nil {
		return false, err
	}
	defer table.Close()
	control, err := ebpf.LoadPinnedMap(filepath.Join(dir, mapControl), nil)
	if err != nil {
		return false, err
	}
	defer control.Close()
	var mode ipeControl
	if err := control.Lookup(slot, &mode); err != nil {
		return false, err
	}
	if err := p.maps[mapControl].Put(slot, &mode); err != nil {
		return false, err
	}
	return true, p.maps[mapActive].Put(slot, table)
}

// removeOtherBuilds detaches what other builds left attached. It is called after a
// self-test of this build that did not fail, so there is no gap; links go first, so
// that a removal that is cut off leaves no program on orphaned maps.
func (p *pinned) removeOtherBuilds() error {
	dirs, err := p.dir.otherBuilds()
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		for _, h := range hooks() {
			if err := os.Remove(filepath.Join(dir, "link_"+h.name)); err != nil && !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("remove other build: %w", err)
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove other build: %w", err)
		}
		p.log.Info("replaced another build of the engine", "pins", dir)
	}
	return nil
}
