package store

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ipe-linux/ipe/internal/atomicfile"
	"github.com/ipe-linux/ipe/internal/plain"
)

// maxNamed is how many files of no use are named: a status that lists thousands is read
// by nobody.
const maxNamed = 10

// standing is what a file is to the store.
type standing int

const (
	own standing = iota
	// halfWritten: a crash left it, and it holds nothing.
	halfWritten
	setAside
	unreferenced
	foreign
)

// what says it to people.
var what = map[standing]string{
	setAside:     "was damaged and is set aside (remove it when you have looked at it)",
	unreferenced: "belongs to nothing that is stored, and is left alone (load it anew if it is missed, or remove it)",
	foreign:      "does not belong here, and is left alone (move it away)",
}

// scan looks for what does not belong to the store. It removes what was half written,
// and nothing else: what a damaged index no longer names may be what is missed.
func (s *Store) scan() {
	s.scanDir(string(s.dir), s.standingOfTop)
	s.scanDir(s.dir.policies(), s.standingOfEnvelope)
}

func (s *Store) scanDir(dir string, of func(fs.DirEntry) standing) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		s.note(err)
	}
	named := 0
	for _, e := range entries {
		path, st := filepath.Join(dir, e.Name()), of(e)
		switch {
		case st == own:
		case st == halfWritten && s.failed == nil:
			_ = s.fsys.Remove(path) // what remains does no harm and goes at the next Open
		case st == halfWritten:
		default:
			if named++; named <= maxNamed {
				s.note(fmt.Errorf("%s %s", plain.Name(path), what[st]))
			}
		}
	}
	if named > maxNamed {
		s.note(fmt.Errorf("%s: %d more files that do not belong there", dir, named-maxNamed))
	}
}

func (s *Store) standingOfTop(e fs.DirEntry) standing {
	name := e.Name()
	if name == policiesName || name == ProfilesName || name == "lost+found" { // the latter where a store has its own file system
		return ownIf(e.IsDir())
	}
	if name == lostName {
		return ownIf(e.Type().IsRegular())
	}
	for _, of := range []string{indexName, copyName, lostName} {
		if rest, ok := strings.CutPrefix(name, of); ok {
			return standingOfRest(e, rest)
		}
	}
	return foreign
}

// standingOfRest judges a file by what follows the name of one of the store's.
func standingOfRest(e fs.DirEntry, rest string) standing {
	switch {
	case !e.Type().IsRegular():
		return foreign
	case rest == "":
		return own
	case strings.HasPrefix(rest, ".") && atomicfile.IsTemp(rest):
		return halfWritten
	case strings.HasPrefix(rest, ".") && strings.HasSuffix(rest, damagedSuffix):
		return setAside
	}
	return foreign
}

func ownIf(ok bool) standing {
	if ok {
		return own
	}
	return foreign
}

func (s *Store) standingOfEnvelope(e fs.DirEntry) standing {
	digits, rest, found := strings.Cut(e.Name(), envelopeSuffix)
	sum, err := hex.DecodeString(digits)
	if err != nil || len(sum) != sha256.Size || !found || digits != strings.ToLower(digits) {
		return foreign
	}
	st := standingOfRest(e, rest)
	if st == own && !s.index.refers([sha256.Size]byte(sum)) {
		return unreferenced
	}
	return st
}
