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
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/atomicfile"
)

// Names and permissions of what a store consists of.
const (
	indexName      = "index"
	policiesName   = "policies"
	envelopeSuffix = ".p7b"

	dirPerm  fs.FileMode = 0o700
	filePerm fs.FileMode = 0o600

	othersMayWrite fs.FileMode = 0o022
)

func envelopeName(sum [sha256.Size]byte) string {
	return hex.EncodeToString(sum[:]) + envelopeSuffix
}

func (s *Store) indexPath() string    { return filepath.Join(s.dir, indexName) }
func (s *Store) policiesPath() string { return filepath.Join(s.dir, policiesName) }

// Open opens the store in dir and locks it until Close. A directory that is
// missing or empty becomes a new store. Errors wrap ErrLocked, ErrFormat or
// ErrCorrupt where these apply; the last two leave everything as it is.
func Open(dir string) (*Store, error) { return OpenOn(atomicfile.OS{}, dir) }

// OpenOn is Open with changes going through fsys.
func OpenOn(fsys atomicfile.FS, dir string) (*Store, error) {
	s := &Store{fsys: fsys, dir: filepath.Clean(dir)}
	if err := s.open(); err != nil {
		if s.lock != nil {
			err = errors.Join(err, s.lock.Close())
		}
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	return s, nil
}

func (s *Store) open() error {
	if err := atomicfile.Mkdir(s.fsys, s.dir, dirPerm); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := s.takeLock(); err != nil {
		return err
	}
	if err := s.settle(); err != nil {
		return err
	}
	names, err := s.scanDir()
	if err != nil {
		return err
	}
	if err := s.load(names[indexName], names[policiesName]); err != nil {
		return err
	}
	return s.sweep()
}

// takeLock locks the directory itself, so that no file has to be there for it.
func (s *Store) takeLock() (err error) {
	if s.lock, err = os.Open(s.dir); err != nil {
		return err
	}
	info, err := s.lock.Stat()
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("not a directory: %w", unix.ENOTDIR)
	}
	if owner, own := ownerOf(info), os.Geteuid(); owner != own {
		return fmt.Errorf("directory belongs to uid %d and must belong to uid %d (run: chown -R %d %s): %w", owner, own, own, s.dir, fs.ErrPermission)
	}
	if info.Mode()&othersMayWrite != 0 {
		return fmt.Errorf("directory may be written by others (run: chmod go-w %s): %w", s.dir, fs.ErrPermission)
	}
	err = unix.Flock(int(s.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("%w (stop the daemon that has it open, or talk to it instead)", ErrLocked)
	}
	return err
}

// ownerOf is the uid of whoever could give the directory any permissions; -1 if the
// system does not say.
func ownerOf(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}

// settle makes durable what can be seen: a process that died between rename and
// fsync may have left a state that the disk does not hold yet, and nothing may
// be built on that.
func (s *Store) settle() error {
	if err := s.fsys.SyncDir(filepath.Dir(s.dir)); err != nil {
		return err
	}
	return s.fsys.SyncDir(s.dir)
}

// scanDir returns the names in the store's directory, all of which it knows.
func (s *Store) scanDir() (map[string]bool, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, e := range entries {
		if !isOwn(e) {
			return nil, corrupt(filepath.Join(s.dir, e.Name()), "foreign file")
		}
		names[e.Name()] = true
	}
	return names, nil
}

func isOwn(e fs.DirEntry) bool {
	switch name := e.Name(); {
	case name == policiesName, name == "lost+found": // the latter where a store has its own file system
		return e.IsDir()
	case name == indexName, atomicfile.IsTemp(name) && strings.HasPrefix(name, indexName+"."):
		return e.Type().IsRegular()
	}
	return false
}

// load reads the state, or makes a new one. The index of a new store is written
// before the directory of envelopes is made, so the latter without the former
// means that an index was lost.
func (s *Store) load(hasIndex, hasPolicies bool) error {
	switch {
	case hasIndex:
		if err := s.readIndex(); err != nil {
			return err
		}
	case hasPolicies:
		return corrupt(s.indexPath(), "file is missing")
	default:
		if err := s.commit(newIndex()); err != nil {
			return err
		}
	}
	if hasPolicies {
		return s.checkEnvelopes()
	}
	if len(s.index.policies) > 0 {
		return corrupt(s.policiesPath(), "directory is missing")
	}
	return atomicfile.Mkdir(s.fsys, s.policiesPath(), dirPerm)
}

func (s *Store) readIndex() error {
	b, err := readLimited(s.indexPath(), maxIndex)
	if err != nil {
		return err
	}
	s.index, err = parseIndex(b)
	if errors.Is(err, ErrFormat) {
		return fmt.Errorf("%s: %w (use the program that wrote it, or a newer one)", s.indexPath(), err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w (%s)", s.indexPath(), err, repair)
	}
	return nil
}

func (s *Store) checkEnvelopes() error {
	for name, r := range s.index.policies {
		if _, err := readEnvelope(s.envelopePath(r.sum), r.sum); err != nil {
			return fmt.Errorf("policy %q: %w", name, err)
		}
	}
	return nil
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

func readLimited(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	_, err = io.Copy(&b, io.LimitReader(f, limit+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if int64(b.Len()) > limit {
		return nil, corrupt(path, "longer than %d bytes", limit)
	}
	return b.Bytes(), nil
}
