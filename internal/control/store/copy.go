package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/ipe-linux/ipe/internal/atomicfile"
)

// The second copy is what the index has, followed by the envelope of the active
// policy, if there is one:
//
//	envelope BASE64
//
// The line comes after the sum of the index: should it be damaged, the rest still
// counts. Its own checksum is the digest that the index has of the envelope.
const envelopeWord = "envelope "

// maxCopy bounds the second copy in bytes.
const maxCopy = maxIndex + len(envelopeWord) + (MaxEnvelope+2)/3*4 + 1

// encodeCopy writes the second copy.
func (x index) encodeCopy(envelope []byte) []byte {
	b := x.encode()
	if x.active != "" && envelope != nil {
		b = fmt.Appendf(b, "%s%s\n", envelopeWord, base64.StdEncoding.EncodeToString(envelope))
	}
	return b
}

// parseCopy reads the second copy. The envelope is nil if there is none that is what
// the index says of the active policy.
func parseCopy(b []byte) (x index, envelope []byte, err error) {
	text, line, _ := bytes.Cut(b, []byte("\n"+envelopeWord))
	if len(text) < len(b) {
		text = b[:len(text)+1]
	}
	if x, err = parseIndex(text); err != nil {
		return index{}, nil, err
	}
	envelope, err = base64.StdEncoding.DecodeString(string(bytes.TrimSuffix(line, []byte("\n"))))
	if err != nil || x.active == "" || sha256.Sum256(envelope) != x.policies[x.active].sum {
		return x, nil, nil
	}
	return x, envelope, nil
}

// writeCopy makes the second copy say what the index says. What goes wrong costs the
// copy only: the change holds, and Problems says that it has but one copy.
func (s *Store) writeCopy() {
	s.copyErr = nil
	envelope, err := s.activeEnvelope()
	if err == nil || errors.Is(err, ErrCorrupt) { // of the latter Open and Get speak
		err = atomicfile.Write(s.fsys, s.dir.copy(), s.index.encodeCopy(envelope), filePerm)
	}
	if err != nil {
		s.copyErr = fmt.Errorf("the state has no second copy until the next change: %w", err)
	}
}

// activeEnvelope returns the envelope of the active policy, and remembers it; nil if
// none is active.
func (s *Store) activeEnvelope() ([]byte, error) {
	r, ok := s.index.policies[s.index.active]
	if !ok {
		s.spare = nil
		return nil, nil
	}
	if s.spare != nil && sha256.Sum256(s.spare) == r.sum {
		return s.spare, nil
	}
	b, err := readEnvelope(s.dir.envelope(r.sum), r.sum)
	s.spare = b
	return b, err
}

// kept is what was found of a state.
type kept struct {
	path     string
	index    index
	envelope []byte
	raw      []byte
	err      error
	// worn: the index in it is good, and what follows is not.
	worn bool
}

func (k kept) missing() bool { return errors.Is(k.err, fs.ErrNotExist) }

// damaged reports whether something is there that is no state, none that is known, or
// one with something else behind it.
func (k kept) damaged() bool { return k.worn || k.err != nil && !k.missing() }

// read reads one of the two copies.
func read(path string) kept {
	k := kept{path: path}
	if k.raw, k.err = readLimited(path, maxCopy); k.err != nil {
		return k
	}
	if k.index, k.envelope, k.err = parseCopy(k.raw); k.err != nil {
		k.err = fmt.Errorf("%s: %w", filepath.Base(path), k.err)
		return k
	}
	k.worn = k.index.seq > 0 && !bytes.Equal(k.raw, k.index.encodeCopy(k.envelope))
	return k
}
