package seal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/internal/author/measure"
	"github.com/ipe-linux/ipe/internal/author/walk"
	"github.com/ipe-linux/ipe/internal/inorder"
	"github.com/ipe-linux/ipe/internal/linux/fsioctl"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/verity/fsverity"
)

// Status is what became of a file.
type Status string

// What became of a file, in the words of results.
const (
	Enabled  Status = "enabled"
	Already  Status = "already" // with the same parameters, and signature if there is one
	Possible Status = "possible"
	Failed   Status = "failed"
)

// Outcome is a file with what became of it. The digest is that of the kernel, if it has
// one.
type Outcome struct {
	Path   string
	Status Status
	Digest digest.Digest
	Size   int64
	Err    error
}

// Enabler enables fs-verity on files, several at a time.
type Enabler struct {
	Params   fsverity.Params
	Progress measure.Progress
	// Signature returns the signature that a file should have, by its path below the
	// argument; nil if any will do.
	Signature func(rel string) ([]byte, error)
	// DryRun has it say what would be done, and do nothing.
	DryRun bool

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
	compute   *measure.Measurer
}

// Run does the files of a tree, and gives what became of each, in their order. It returns
// the first error of each.
func (e *Enabler) Run(ctx context.Context, t *walk.Tree, each func(*Outcome) error) error {
	worker := func() func(walk.File) *Outcome {
		m := &measure.Measurer{Params: e.Params, Progress: e.Progress}
		return func(f walk.File) *Outcome { return e.file(ctx, m, f) }
	}
	return inorder.Do(ctx, t.Files, worker, func(o *Outcome) error {
		if o == nil {
			return nil
		}
		return each(o)
	})
}

// file does one file. It returns nil for one that is not asked for.
func (e *Enabler) file(ctx context.Context, m *measure.Measurer, file walk.File) *Outcome {
	defer file.Done()
	o := &Outcome{Path: file.Path}
	f, err := file.Open()
	if errors.Is(err, walk.ErrNotAsked) {
		return nil
	}
	if err == nil {
		defer f.Close()
		o.Size = f.Size
		defer e.lock(f)()
		var d digest.Digest
		if o.Status, d, err = e.do(ctx, target{File: f.File(), handle: f, rel: file.Rel, compute: m}); err == nil {
			o.Digest = d
		} else {
			err = fmt.Errorf("%s: %w", plain.Name(file.Path), err)
		}
	}
	if err != nil {
		o.Status, o.Err = Failed, err
	}
	return o
}

// lock keeps two names of one file apart until the returned function is called.
func (e *Enabler) lock(f *walk.Handle) (unlock func()) {
	if f.Links < 2 {
		return func() {}
	}
	l, _ := e.linked.LoadOrStore(f.ID, &sync.Mutex{})
	mu := l.(*sync.Mutex)
	mu.Lock()
	return mu.Unlock
}

// do makes of a file what is wanted, and returns what that is with the digest.
func (e *Enabler) do(ctx context.Context, t target) (status Status, d digest.Digest, err error) {
	if t.signature, err = e.Signature(t.rel); err != nil {
		return "", d, err
	}
	d, enabled := fsioctl.Ask(t.Fd())
	switch {
	case enabled:
		return Already, d, e.asWanted(ctx, t, d)
	case e.DryRun: // the kernel would read the file, and we need not
		return Possible, d, fsioctl.Check(t.File, e.Params, t.signature)
	}
	switch err = fsioctl.Enable(t.File, e.Params, t.signature); {
	case err == nil:
		e.Progress.Add(t.handle.Size)
		d, err = fsioctl.Measure(t.File)
		return Enabled, d, err
	case !errors.Is(err, fsioctl.ErrEnabled):
		return "", d, err
	}
	// Somebody else was faster.
	if d, err = fsioctl.Measure(t.File); err == nil {
		err = e.asWanted(ctx, t, d)
	}
	return Already, d, err
}

// asWanted returns an error if a file that is enabled already is not what Enable would
// have made of it.
func (e *Enabler) asWanted(ctx context.Context, t target, d digest.Digest) error {
	other := func(format string, args ...any) error {
		return &remediable{fmt.Errorf("%w, "+format, append([]any{fsioctl.ErrEnabled}, args...)...),
			"fs-verity cannot be changed or taken away: copy the file to a new one and enable that"}
	}
	have, err := fsioctl.ReadDescriptor(t.File)
	switch {
	case errors.Is(err, fsioctl.ErrUnsupported): // btrfs, of 6.12 and before; the digest says it, too
		want, err := t.compute.Open(ctx, t.handle)
		if err != nil {
			return err
		}
		if !want.Equal(d) {
			return other("with other parameters: its digest is %v", d)
		}
	case err != nil:
		return err
	case have.Algorithm != e.Params.Algorithm || have.BlockSize != e.Params.BlockSize || !bytes.Equal(have.Salt, e.Params.Salt):
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
