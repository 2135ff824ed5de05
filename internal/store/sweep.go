package store

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ipe-linux/ipe/internal/atomicfile"
)

// sweep removes what a crash left behind: files half written, and envelopes that
// were to be, or had been, replaced. It comes last in Open, when all that the
// index refers to has been found good. It first looks at everything, so that it
// removes nothing where something foreign is.
func (s *Store) sweep() error {
	left, err := s.leftovers(s.dir, s.isLeftIndex)
	if err != nil {
		return err
	}
	more, err := s.leftovers(s.policiesPath(), s.isLeftEnvelope)
	if err != nil {
		return err
	}
	for _, path := range append(left, more...) {
		if err := atomicfile.Remove(s.fsys, path); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) leftovers(dir string, isLeft func(fs.DirEntry) (left, own bool)) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		left, own := isLeft(e)
		if !own {
			return nil, corrupt(path, "foreign file")
		}
		if left {
			paths = append(paths, path)
		}
	}
	return paths, nil
}

func (s *Store) isLeftIndex(e fs.DirEntry) (left, own bool) {
	return atomicfile.IsTemp(e.Name()), isOwn(e)
}

func (s *Store) isLeftEnvelope(e fs.DirEntry) (left, own bool) {
	digits, rest, _ := strings.Cut(e.Name(), envelopeSuffix)
	sum, err := hex.DecodeString(digits)
	if err != nil || len(sum) != sha256.Size || !e.Type().IsRegular() {
		return false, false
	}
	if rest == "" {
		return !s.index.refers([sha256.Size]byte(sum)), e.Name() == envelopeName([sha256.Size]byte(sum))
	}
	return true, atomicfile.IsTemp(rest)
}
