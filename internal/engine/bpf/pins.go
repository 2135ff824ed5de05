package bpf

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/engine/bpf/ftrace"
	"github.com/ipe-linux/ipe/internal/hint"
	"github.com/ipe-linux/ipe/internal/plain"
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
	mapRoots   = "ipe_signed_roots"
	mapEvents  = "ipe_events"
	mapLost    = "ipe_lost"
	mapShares  = "ipe_shares"
	mapReader  = "ipe_reader"
)

// sharedMaps are those that all builds share.
var sharedMaps = []string{mapSigned, mapTables, mapWritten, mapRoots, mapMarks, mapVoid, mapEpoch}

// ErrInUse says that another process holds the engine of this machine.
var ErrInUse = errors.New("another process holds the engine")

// buildDir matches the directories of builds: layout version and object.
var buildDir = regexp.MustCompile(`^v([0-9]+)-[0-9a-f]{16}$`)

// buildName names this build of the kernel side. Another build has its own pins, so
// that both can enforce while one replaces the other.
func buildName() string {
	sum := sha256.Sum256(_IpeBytes)
	return fmt.Sprintf("v%d-%x", ruletab.LayoutVersion, sum[:8])
}

// pinned is what the kernel keeps when this process ends, and where.
type pinned struct {
	log    *slog.Logger
	root   string   // PinDir
	dir    string   // where this build's objects are pinned
	lock   *os.File // root, locked
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

// preparePins makes the directories for pins and locks them for this process.
func (p *pinned) preparePins() error {
	if err := prepareBPFFS(p.root); err != nil {
		return err
	}
	p.dir = filepath.Join(p.root, buildName())
	if err := p.makeDirs(); err != nil {
		return err
	}
	return p.takeLock()
}

func (p *pinned) makeDirs() error {
	for _, dir := range []string{p.root, p.dir} {
		if err := makePinDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// makePinDir makes a directory for pins, unless it is there.
func makePinDir(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make pin directory: %w", err)
	}
	return checkOwner(dir)
}

// checkOwner refuses a directory that somebody else prepared, or could change.
func checkOwner(dir string) error {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return fmt.Errorf("pin directory %s: %w", dir, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 {
		return fmt.Errorf("pin directory %s: it must be a directory that only its owner, uid %d, can write", dir, os.Geteuid())
	}
	return nil
}

// takeLock makes this the only process that reads the ring buffer and replaces
// programs. The lock ends with the process, however it ends.
func (p *pinned) takeLock() error {
	f, err := os.Open(p.root)
	if err != nil {
		return fmt.Errorf("lock engine: %w", err)
	}
	p.lock = f
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrInUse
		}
		return fmt.Errorf("lock engine %s: %w", p.root, err)
	}
	return nil
}

// prepareBPFFS makes sure that root lies on a BPF file system. It mounts one at the
// usual place only where init would see it, too: in a mount namespace of its own it
// would end, and enforcement with it, when this process ends.
func prepareBPFFS(root string) error {
	const usual = "/sys/fs/bpf"
	parent := filepath.Dir(root)
	if isBPFFS(parent) {
		return nil
	}
	if parent != usual || !inMountNamespaceOfInit() {
		return fmt.Errorf("pin directory %s: %s is not on a BPF file system: mount -t bpf bpf %s", plain.Name(root), plain.Name(parent), hint.File(parent))
	}
	if err := unix.Mount("bpf", usual, "bpf", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0700"); err != nil {
		return fmt.Errorf("mount BPF file system at %s: %w", usual, err)
	}
	return nil
}

func isBPFFS(dir string) bool {
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && st.Type == unix.BPF_FS_MAGIC
}

func inMountNamespaceOfInit() bool {
	ours, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return false
	}
	inits, err := os.Readlink("/proc/1/ns/mnt")
	return err == nil && ours == inits
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
		return p.root
	}
	return p.dir
}

// otherBuilds lists the pin directories of other builds of the engine.
func (p *pinned) otherBuilds() ([]string, error) {
	entries, err := os.ReadDir(p.root)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // the file system was unmounted, which mendPins tells
	}
	if err != nil {
		return nil, fmt.Errorf("look for other builds: %w", err)
	}
	var dirs []string
	for _, d := range entries {
		if path := filepath.Join(p.root, d.Name()); d.IsDir() && path != p.dir && buildDir.MatchString(d.Name()) {
			dirs = append(dirs, path)
		}
	}
	return dirs, nil
}

// inherit takes over, from another build that decides by tables of the same layout,
// its active policy and its mode. Only a build without a policy does so.
func (e *Engine) inherit() error {
	if _, ok, err := e.meta(); err != nil || ok {
		return err
	}
	dirs, err := e.otherBuilds()
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
	dirs, err := p.otherBuilds()
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
