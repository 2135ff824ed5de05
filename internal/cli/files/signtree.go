package files

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/ipe-linux/ipe/internal/author/seal"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/cli/ui/keys"
	"github.com/ipe-linux/ipe/internal/hint"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/sign"
	"github.com/ipe-linux/ipe/verity/fsverity"
)

// unsignedFile is a file that was not signed, as JSON.
type unsignedFile struct {
	File  string `json:"file"`
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
}

// signTree signs many files and prints what became of each.
func (a *app) signTree(ctx context.Context, key *keys.Signer, params fsverity.Params, f fsSignFlags) (err error) {
	defer a.Buffer()(&err)
	bar := a.Progress(0)
	defer bar.End()
	s := &seal.Signer{Key: key, OneAtATime: key.OnToken, Params: params, Progress: bar, Create: ui.Create,
		Options: sign.Options{Hash: f.Digest(), Detached: true, NoCertificate: !f.include}}
	if f.signatures != "" {
		if s.Below, err = os.OpenRoot(f.signatures); err != nil {
			return fmt.Errorf("--signatures: %w", err)
		}
		defer s.Below.Close()
	}
	failures, done := a.Complaints(bar), 0
	err = s.Run(ctx, &f.Tree, func(m *seal.Signed) error {
		if m.Err != nil {
			return a.unsigned(failures, m)
		}
		done++
		bar.MakeWay()
		by := key.Cert.Subject.String()
		return a.Result(signedFile{m.Path, m.Digest.String(), m.Output, by}, "%s: signed %v by %s\n", plain.Name(m.Output), m.Digest, plain.Text(by))
	})
	if err != nil {
		return err
	}
	bar.End()
	return a.sumUpSigned(&f.selection, done, failures.N)
}

// unsigned tells of a file that was not signed; the others go on.
func (a *app) unsigned(failures *ui.Complaints, m *seal.Signed) error {
	failures.Add(m.Err)
	if !a.JSON {
		return nil
	}
	return a.PrintJSON(unsignedFile{m.Path, plain.Error(m.Err), hint.Of(m.Err)})
}

func (a *app) sumUpSigned(s *selection, done, failed int) error {
	switch {
	case done+failed == 0 && len(s.Args) == 0:
		return errors.New("no file is asked for, only signatures")
	case done+failed == 0:
		return s.ErrNothing()
	case failed > 0:
		return fmt.Errorf("%d of %d files are not signed", failed, done+failed)
	case a.JSON:
		return nil
	}
	if _, err := fmt.Fprintf(a.Stdout(), "%d files signed\n", done); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

// withoutSignatures leaves signatures out of the arguments: FILE* matches them, too.
func (a *app) withoutSignatures(args []string) []string {
	var files []string
	for _, arg := range args {
		if strings.HasSuffix(arg, seal.SignatureSuffix) && !isDir(arg) {
			a.WarnOf(arg, "left out, for its name is that of a signature")
			continue
		}
		files = append(files, arg)
	}
	return files
}
