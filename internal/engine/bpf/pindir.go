package bpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/linux/abi"
)

// ErrInUse says that another process holds the engine of this machine.
var ErrInUse = errors.New("another process holds the engine")

// buildDir matches the directories of builds: layout version and object.
var buildDir = regexp.MustCompile(`^v([0-9]+)-[0-9a-f]{16}$`)

// pinDir is where one build's objects are pinned, locked for this process.
type pinDir struct {
	root  string   // PinDir, which all builds share
	build string   // this build's own
	lock  *os.File // root, locked
}

// openPins makes the directories, unless they are there, and locks them. The lock ends with
// the process, however it ends. It fails with ErrInUse while another process has it.
func openPins(root, build string) (*pinDir, error) {
	d := &pinDir{root: root, build: filepath.Join(root, build)}
	if err := d.make(); err != nil {
		return nil, err
	}
	var err error
	if d.lock, err = lockDir(root); err != nil {
		return nil, err
	}
	return d, nil
}

// close lets another process have the directories.
func (d *pinDir) close() error {
	if d == nil {
		return nil
	}
	return d.lock.Close()
}

// restore makes the directories anew, if they are gone. Another process may have locked
// the new ones first; then the pins there are its own.
func (d *pinDir) restore() error {
	if err := d.make(); err != nil {
		return err
	}
	var there, held unix.Stat_t
	if err := errors.Join(unix.Stat(d.root, &there), unix.Fstat(int(d.lock.Fd()), &held)); err != nil {
		return fmt.Errorf("lock engine: %w", err)
	}
	if there.Dev == held.Dev && there.Ino == held.Ino {
		return nil
	}
	anew, err := lockDir(d.root)
	if err != nil {
		return err
	}
	old := d.lock
	d.lock = anew
	return old.Close()
}

func (d *pinDir) make() error {
	if err := abi.MountBPFFS(d.root); err != nil {
		return err
	}
	for _, dir := range []string{d.root, d.build} {
		if err := makePinDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// lockDir makes this the only process that reads the ring buffer and replaces programs.
func lockDir(root string) (*os.File, error) {
	f, err := os.Open(root)
	if err != nil {
		return nil, fmt.Errorf("lock engine: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrInUse
		}
		return nil, errors.Join(fmt.Errorf("lock engine %s: %w", root, err), f.Close())
	}
	return f, nil
}

// otherBuilds lists the directories of other builds of the engine.
func (d *pinDir) otherBuilds() ([]string, error) {
	entries, err := os.ReadDir(d.root)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // the file system was unmounted, which whoever mends pins tells
	}
	if err != nil {
		return nil, fmt.Errorf("look for other builds: %w", err)
	}
	var dirs []string
	for _, e := range entries {
		if path := filepath.Join(d.root, e.Name()); e.IsDir() && path != d.build && buildDir.MatchString(e.Name()) {
			dirs = append(dirs, path)
		}
	}
	return dirs, nil
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
