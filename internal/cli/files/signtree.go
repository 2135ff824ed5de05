package files

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/internal/atomicfile"
	"github.com/ipe-linux/ipe/internal/author/walk"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/cli/ui/keys"
	"github.com/ipe-linux/ipe/internal/hint"
	"github.com/ipe-linux/ipe/internal/inorder"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/sign"
	"github.com/ipe-linux/ipe/verity/fsverity"
)

// treeSigner signs many files: several are measured and signed at a time, and one
// signature is written after the other, in the order of the files.
type treeSigner struct {
	walk.Tree
	a          *app
	signer     *keys.Signer
	params     fsverity.Params
	opts       sign.Options
	signatures string // directory of the signatures, "" for beside the files
	bar        *ui.Progress

	// oneAtATime is held while a token signs.
	oneAtATime sync.Mutex
	below      *os.Root // signatures, opened
	// from says whose signature is in an output.
	from map[string]string
}

// madeSignature is a signature that is not written yet.
type madeSignature struct {
	file    walk.File
	digest  digest.Digest
	message []byte
	err     error
}

// unsignedFile is a file that was not signed, as JSON.
type unsignedFile struct {
	File  string `json:"file"`
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
}

func (s *treeSigner) run(ctx context.Context) (err error) {
	defer s.a.Buffer()(&err)
	defer s.bar.End()
	if s.signatures != "" {
		if s.below, err = os.OpenRoot(s.signatures); err != nil {
			return fmt.Errorf("--signatures: %w", err)
		}
		defer s.below.Close()
	}
	s.from = map[string]string{}
	failures, done := s.a.Complaints(s.bar), 0
	worker := func() func(walk.File) *madeSignature {
		m := &measurer{params: s.params, kernel: askSame, bar: s.bar}
		return func(f walk.File) *madeSignature { return s.make(ctx, m, f) }
	}
	err = inorder.Do(ctx, s.Files, worker, func(m *madeSignature) error {
		if m == nil {
			return nil
		}
		defer m.file.Done()
		out, err := s.write(m)
		if err != nil {
			return s.complain(failures, m.file.Path, err)
		}
		done++
		s.bar.MakeWay()
		by := s.signer.Cert.Subject.String()
		return s.a.Result(signedFile{m.file.Path, m.digest.String(), out, by}, "%s: signed %v by %s\n", plain.Name(out), m.digest, plain.Text(by))
	})
	if err != nil {
		return err
	}
	s.bar.End()
	return s.summary(done, failures.N)
}

// complain tells of a file that was not signed; the others go on.
func (s *treeSigner) complain(failures *ui.Complaints, file string, err error) error {
	failures.Add(err)
	if !s.a.JSON {
		return nil
	}
	return s.a.PrintJSON(unsignedFile{file, plain.Error(err), hint.Of(err)})
}

func (s *treeSigner) summary(done, failed int) error {
	switch {
	case done+failed == 0 && len(s.Args) == 0:
		return errors.New("no file is asked for, only signatures")
	case done+failed == 0:
		return s.ErrNothing()
	case failed > 0:
		return fmt.Errorf("%d of %d files are not signed", failed, done+failed)
	case s.a.JSON:
		return nil
	}
	if _, err := fmt.Fprintf(s.a.Stdout(), "%d files signed\n", done); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

// make signs one file. It returns nil for one that is not asked for.
func (s *treeSigner) make(ctx context.Context, m *measurer, file walk.File) *madeSignature {
	made := &madeSignature{file: file}
	f, err := file.Open()
	if errors.Is(err, walk.ErrNotAsked) {
		file.Done()
		return nil
	}
	if err == nil {
		defer f.Close()
		if made.digest, err = m.open(ctx, f); err == nil {
			made.message, err = s.sign(made.digest)
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", plain.Name(file.Path), err)
		}
	}
	made.err = err
	return made
}

func (s *treeSigner) sign(d digest.Digest) ([]byte, error) {
	content, err := fsverity.FormattedDigest(d)
	if err != nil {
		return nil, err
	}
	if s.signer.OnToken {
		s.oneAtATime.Lock()
		defer s.oneAtATime.Unlock()
	}
	return s.signer.Sign(content, s.opts)
}

// write writes a signature and returns where it is.
func (s *treeSigner) write(m *madeSignature) (out string, err error) {
	if m.err != nil {
		return "", m.err
	}
	out = m.file.Path + signatureSuffix
	if s.below != nil {
		out = filepath.Join(s.signatures, m.file.Rel+signatureSuffix)
	}
	if other, taken := s.from[out]; taken && other != m.file.Path {
		return "", ui.Hinted(fmt.Errorf("%s: its signature would be in %s, where that of %s is", plain.Name(m.file.Path), plain.Name(out), plain.Name(other)),
			"sign one directory after the other, each with a directory of signatures of its own")
	}
	s.from[out] = m.file.Path
	switch {
	case s.below != nil:
		err = writeBelow(s.below, m.file.Rel+signatureSuffix, m.message)
	case m.file.Root() != nil:
		err = writeBelow(m.file.Root(), m.file.Rel+signatureSuffix, m.message)
	default:
		err = ui.Create(out, m.message)
	}
	var errno unix.Errno // without the name of the file that is written aside
	if errors.As(err, &errno) {
		err = fmt.Errorf("write %s: %w", plain.Name(out), errno)
	}
	return out, err
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

// withoutSignatures leaves signatures out of the arguments: FILE* matches them, too.
func (a *app) withoutSignatures(args []string) []string {
	var files []string
	for _, arg := range args {
		if strings.HasSuffix(arg, signatureSuffix) && !isDir(arg) {
			a.WarnOf(arg, "left out, for its name is that of a signature")
			continue
		}
		files = append(files, arg)
	}
	return files
}
