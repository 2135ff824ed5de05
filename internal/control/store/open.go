package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/atomicfile"
	"github.com/ipe-linux/ipe/internal/ownership"
)

// Names and permissions of what a store consists of.
const (
	indexName      = "index"
	copyName       = "copy"
	policiesName   = "policies"
	lostName       = "floors-lost"
	envelopeSuffix = ".p7b"

	dirPerm  fs.FileMode = 0o700
	filePerm fs.FileMode = 0o600
)

// ProfilesName is the name of a directory in that of a store which is not its own: a store
// of profiles.
const ProfilesName = "profiles"

func envelopeName(sum [sha256.Size]byte) string {
	return hex.EncodeToString(sum[:]) + envelopeSuffix
}

// directory is that of a store, as the paths of what is in it.
type directory string

func (d directory) path(name string) string { return filepath.Join(string(d), name) }
func (d directory) index() string           { return d.path(indexName) }
func (d directory) copy() string            { return d.path(copyName) }
func (d directory) policies() string        { return d.path(policiesName) }
func (d directory) lost() string            { return d.path(lostName) }

func (d directory) envelope(sum [sha256.Size]byte) string {
	return filepath.Join(d.policies(), envelopeName(sum))
}

// Open opens the store in dir and locks it until Close. A directory that is missing or
// empty becomes a new store.
//
// What is damaged, missing, foreign or open to others does not stop it, nor does a disk
// that is full, read-only or failing: Problems says what is wrong, the rest is there,
// and what a failing disk cannot keep is refused with ErrFailed. Errors are ErrLocked,
// and paths that cannot be those of a directory.
func Open(dir string) (*Store, error) { return OpenOn(atomicfile.OS{}, dir) }

// OpenOn is Open with changes going through fsys.
func OpenOn(fsys atomicfile.FS, dir string) (*Store, error) { return OpenOf("policy", fsys, dir) }

// OpenOf is OpenOn for messages that hold something else, which noun names to people.
func OpenOf(noun string, fsys atomicfile.FS, dir string) (*Store, error) {
	s := &Store{fsys: fsys, dir: directory(filepath.Clean(dir)), noun: noun, index: newIndex()}
	if err := s.enter(); err != nil {
		return nil, fmt.Errorf("open store %s: %w", dir, errors.Join(err, s.unlock()))
	}
	if s.lock == nil {
		return s, nil
	}
	s.checkOwners()
	if err := s.settle(); err != nil {
		s.fail(err)
	}
	s.take()
	s.scan()
	return s, nil
}

// enter makes the directory if need be, and takes the lock. Without a lock and without
// an error there is a disk on which nothing can be read.
func (s *Store) enter() error {
	made := atomicfile.Mkdir(s.fsys, string(s.dir), dirPerm)
	if errors.Is(made, fs.ErrExist) {
		made = nil
	}
	err := s.takeLock()
	switch {
	case err == nil: // settle syncs what Mkdir has not
		return nil
	case errors.Is(err, ErrLocked), errors.Is(err, unix.ENOTDIR):
		return err
	case !errors.Is(err, fs.ErrNotExist):
		s.lost = true
		s.fail(err)
		return nil
	case errors.Is(made, fs.ErrNotExist): // neither the directory nor its parent
		return made
	}
	s.fail(errors.Join(made, err))
	return nil
}

// takeLock locks the directory itself, so that no file has to be there for it.
func (s *Store) takeLock() (err error) {
	if s.lock, err = os.OpenFile(string(s.dir), os.O_RDONLY|unix.O_DIRECTORY, 0); err != nil {
		s.lock = nil
		return err
	}
	err = unix.Flock(int(s.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("%w (stop the daemon that has it open, or talk to it instead)", ErrLocked)
	}
	if err != nil {
		s.fail(fmt.Errorf("lock %s: %w", s.dir, err))
	}
	return nil
}

func (s *Store) unlock() error {
	if s.lock == nil {
		return nil
	}
	return s.lock.Close()
}

// fail makes the store one that is only read.
func (s *Store) fail(err error) {
	if s.failed == nil {
		s.failed = fmt.Errorf("%w: %w", ErrFailed, err)
	}
}

// note adds to what Problems says.
func (s *Store) note(err error) { s.found = append(s.found, err) }

// checkOwners looks who else can write here. The store is used all the same: refusing
// it would leave the machine with no policy at all, which is what an intruder wants.
// The messages are verified again anyway; the choice among them, the mode and the
// floors are what could be forged.
func (s *Store) checkOwners() {
	for _, path := range []string{string(s.dir), s.dir.policies(), s.dir.index(), s.dir.copy()} {
		if err := ownership.Check(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.note(fmt.Errorf("active %s, mode and version floors may be forged: %w", s.noun, err))
			return // it is a part of the other paths, too, or the next one comes with the next start
		}
	}
}

// settle makes durable what can be seen: a process that died between rename and
// fsync may have left a state that the disk does not hold yet, and nothing may be
// built on that.
func (s *Store) settle() error {
	if err := s.fsys.SyncDir(filepath.Dir(string(s.dir))); err != nil {
		return err
	}
	return s.fsys.SyncDir(string(s.dir))
}

// readEnvelope reads an envelope and compares it with its digest.
func readEnvelope(path string, sum [sha256.Size]byte) ([]byte, error) {
	b, err := readLimited(path, MaxEnvelope)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, corrupt(path, "file is missing")
	}
	if err != nil {
		return nil, err
	}
	if sha256.Sum256(b) != sum {
		return nil, corrupt(path, "content differs from what was stored")
	}
	return b, nil
}

// readLimited reads a regular file. It follows no link, and waits for nobody at a FIFO.
func readLimited(path string, limit int) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, corrupt(path, "symbolic link")
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, corrupt(path, "not a regular file"))
	}
	var b bytes.Buffer
	if _, err := io.Copy(&b, io.LimitReader(f, int64(limit)+1)); err != nil {
		return nil, err
	}
	if b.Len() > limit {
		return nil, corrupt(path, "longer than %d bytes", limit)
	}
	return b.Bytes(), nil
}
