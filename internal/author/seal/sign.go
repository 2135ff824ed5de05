package seal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/internal/atomicfile"
	"github.com/ipe-linux/ipe/internal/author/measure"
	"github.com/ipe-linux/ipe/internal/author/walk"
	"github.com/ipe-linux/ipe/internal/inorder"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/sign"
	"github.com/ipe-linux/ipe/verity/fsverity"
)

// Key signs.
type Key interface {
	Sign(content []byte, opts sign.Options) (message []byte, err error)
}

// Signer signs many files: several are measured and signed at a time, and one signature
// is written after the other, in the order of the files.
type Signer struct {
	Key Key
	// OneAtATime says that the key cannot sign twice at once.
	OneAtATime bool
	Params     fsverity.Params
	Options    sign.Options
	Progress   measure.Progress
	// Below is the directory of the signatures, nil for beside the files.
	Below *os.Root
	// Create writes the signature of an argument beside it.
	Create func(name string, message []byte) error

	// signing is held while the key signs, if it is OneAtATime.
	signing sync.Mutex
	// from says whose signature is in an output.
	from map[string]string
}

// Signed is a file that was signed, or with Err why it was not.
type Signed struct {
	Path   string
	Digest digest.Digest
	Output string // where the signature is
	Err    error

	file    walk.File
	message []byte
}

// Run signs the files of a tree and gives what became of each, in their order. It returns
// the first error of each.
func (s *Signer) Run(ctx context.Context, t *walk.Tree, each func(*Signed) error) error {
	s.from = map[string]string{}
	worker := func() func(walk.File) *Signed {
		m := &measure.Measurer{Params: s.Params, Kernel: measure.AskSame, Progress: s.Progress}
		return func(f walk.File) *Signed { return s.make(ctx, m, f) }
	}
	return inorder.Do(ctx, t.Files, worker, func(m *Signed) error {
		if m == nil {
			return nil
		}
		defer m.file.Done()
		if m.Err == nil {
			m.Err = s.write(m)
		}
		return each(m)
	})
}

// make signs one file. It returns nil for one that is not asked for.
func (s *Signer) make(ctx context.Context, m *measure.Measurer, file walk.File) *Signed {
	made := &Signed{Path: file.Path, file: file}
	f, err := file.Open()
	if errors.Is(err, walk.ErrNotAsked) {
		file.Done()
		return nil
	}
	if err == nil {
		defer f.Close()
		if made.Digest, err = m.Open(ctx, f); err == nil {
			made.message, err = s.sign(made.Digest)
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", plain.Name(file.Path), err)
		}
	}
	made.Err = err
	return made
}

func (s *Signer) sign(d digest.Digest) ([]byte, error) {
	content, err := fsverity.FormattedDigest(d)
	if err != nil {
		return nil, err
	}
	if s.OneAtATime {
		s.signing.Lock()
		defer s.signing.Unlock()
	}
	return s.Key.Sign(content, s.Options)
}

// write writes a signature, and says where it is.
func (s *Signer) write(m *Signed) (err error) {
	name := m.file.Rel + SignatureSuffix
	out := m.file.Path + SignatureSuffix
	if s.Below != nil {
		out = filepath.Join(s.Below.Name(), name)
	}
	if other, taken := s.from[out]; taken && other != m.file.Path {
		return &remediable{fmt.Errorf("%s: its signature would be in %s, where that of %s is", plain.Name(m.file.Path), plain.Name(out), plain.Name(other)),
			"sign one directory after the other, each with a directory of signatures of its own"}
	}
	s.from[out], m.Output = m.file.Path, out
	switch {
	case s.Below != nil:
		err = writeBelow(s.Below, name, m.message)
	case m.file.Root() != nil:
		err = writeBelow(m.file.Root(), name, m.message)
	default:
		err = s.Create(out, m.message)
	}
	var errno unix.Errno // without the name of the file that is written aside
	if errors.As(err, &errno) {
		err = fmt.Errorf("write %s: %w", plain.Name(out), errno)
	}
	return err
}

// writeBelow writes a file in a directory, whole or not at all, and makes the directories
// that lead to it. A symbolic link in the file's place is replaced, and none leads out.
func writeBelow(root *os.Root, name string, data []byte) error {
	if dir := path.Dir(name); dir != "." {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return atomicfile.Write(atomicfile.Below{Root: root}, name, data, 0o644)
}
