package files

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/internal/author/walk"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/cli/ui/keys"
	"github.com/ipe-linux/ipe/internal/linux/fsioctl"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/verity/fsverity"
)

// enabler enables fs-verity on files, several at a time.
type enabler struct {
	walk.Tree
	a          *app
	params     fsverity.Params
	signature  []byte
	signatures string
	dryRun     bool
	bar        *ui.Progress
	// count is by status.
	count map[string]int
	// linked are the inodes with several names, each with a lock: the kernel refuses the
	// second of two at once.
	linked sync.Map
}

// target is a file that is being worked on.
type target struct {
	*os.File
	handle *walk.Handle // the same
	rel    string
	// signature is the one that the file should have, nil if any will do.
	signature []byte
	compute   *measurer
}

// file does one file. It returns nil for one that is not asked for.
func (e *enabler) file(ctx context.Context, m *measurer, file walk.File) *enabledFile {
	defer file.Done()
	r := &enabledFile{File: file.Path}
	f, err := file.Open()
	if errors.Is(err, walk.ErrNotAsked) {
		return nil
	}
	if err == nil {
		defer f.Close()
		r.Size = f.Size
		defer e.lock(f)()
		var d digest.Digest
		if r.Status, d, err = e.do(ctx, target{File: f.File(), handle: f, rel: file.Rel, compute: m}); err == nil {
			r.Digest = digestText(d)
		} else {
			err = fmt.Errorf("%s: %w", plain.Name(file.Path), err)
		}
	}
	if err != nil {
		r.Status, r.err = statusFailed, err
	}
	return r
}

// digestText is empty for a digest that is not known.
func digestText(d digest.Digest) string {
	if d.Size() == 0 {
		return ""
	}
	return d.String()
}

// lock keeps two names of one file apart until the returned function is called.
func (e *enabler) lock(f *walk.Handle) (unlock func()) {
	if f.Links < 2 {
		return func() {}
	}
	l, _ := e.linked.LoadOrStore(f.ID, &sync.Mutex{})
	mu := l.(*sync.Mutex)
	mu.Lock()
	return mu.Unlock
}

// do makes of a file what is wanted, and returns what that is with the digest.
func (e *enabler) do(ctx context.Context, t target) (status string, d digest.Digest, err error) {
	if t.signature, err = e.signatureOf(t.rel); err != nil {
		return "", d, err
	}
	d, enabled := fsioctl.Ask(t.Fd())
	switch {
	case enabled:
		return statusAlready, d, e.asWanted(ctx, t, d)
	case e.dryRun: // the kernel would read the file, and we need not
		return statusPossible, d, fsioctl.Check(t.File, e.params, t.signature)
	}
	switch err = fsioctl.Enable(t.File, e.params, t.signature); {
	case err == nil:
		e.bar.Add(t.handle.Size)
		d, err = fsioctl.Measure(t.File)
		return statusEnabled, d, err
	case !errors.Is(err, fsioctl.ErrEnabled):
		return "", d, err
	}
	// Somebody else was faster.
	if d, err = fsioctl.Measure(t.File); err == nil {
		err = e.asWanted(ctx, t, d)
	}
	return statusAlready, d, err
}

// signatureOf returns the signature that a file should have, nil if any will do.
func (e *enabler) signatureOf(rel string) ([]byte, error) {
	if e.signatures == "" {
		return e.signature, nil
	}
	b, err := keys.ReadSignature(e.a.UI, filepath.Join(e.signatures, rel+signatureSuffix))
	if err != nil {
		return nil, ui.Hinted(err, "make each with ipe fsverity sign, or leave files out with --executable or --glob")
	}
	return b, nil
}

// asWanted returns an error if a file that is enabled already is not what Enable would
// have made of it.
func (e *enabler) asWanted(ctx context.Context, t target, d digest.Digest) error {
	other := func(format string, args ...any) error {
		return ui.Hinted(fmt.Errorf("%w, "+format, append([]any{fsioctl.ErrEnabled}, args...)...),
			"fs-verity cannot be changed or taken away: copy the file to a new one and enable that")
	}
	have, err := fsioctl.ReadDescriptor(t.File)
	switch {
	case errors.Is(err, fsioctl.ErrUnsupported): // btrfs, of 6.12 and before; the digest says it, too
		want, err := t.compute.open(ctx, t.handle)
		if err != nil {
			return err
		}
		if !want.Equal(d) {
			return other("with other parameters: its digest is %v", d)
		}
	case err != nil:
		return err
	case have.Algorithm != e.params.Algorithm || have.BlockSize != e.params.BlockSize || !bytes.Equal(have.Salt, e.params.Salt):
		return other("with other parameters: %s, block size %d, salt %q", have.Algorithm, have.BlockSize, fmt.Sprintf("%x", have.Salt))
	}
	if t.signature == nil {
		return nil
	}
	signature, err := fsioctl.ReadSignature(t.File)
	switch {
	case errors.Is(err, fsioctl.ErrNoSignature):
		return other("without a signature")
	case err != nil:
		return err
	case !bytes.Equal(signature, t.signature):
		return other("with another signature")
	}
	return nil
}
