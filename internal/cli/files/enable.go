package files

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/author/seal"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/cli/ui/keys"
	"github.com/ipe-linux/ipe/internal/hint"
	"github.com/ipe-linux/ipe/internal/plain"
)

// enabledFile is the result of fsverity enable, for one file.
type enabledFile struct {
	File   string `json:"file"`
	Status string `json:"status"`
	Digest string `json:"digest,omitempty"`
	Size   int64  `json:"size"`
	Error  string `json:"error,omitempty"`
	Hint   string `json:"hint,omitempty"`
}

// enableFlags are those of fsverity enable.
type enableFlags struct {
	fsParams
	selection
	signature, signatures string
	dryRun                bool
}

func (a *app) fsEnable() *cobra.Command {
	var f enableFlags
	cmd := &cobra.Command{
		Use: "enable FILE...", Short: "Enable fs-verity on files", Args: ui.Some("at least one FILE or directory"),
		Long: "Enable makes files read-only for ever and has the kernel verify each block of them when it is read,\n" +
			"as \"fsverity enable\" does; the digest is what policies name. In a directory, that is each regular file.\n" +
			"What is enabled already with the same parameters counts as done, so that it can be run again. What\n" +
			"cannot be enabled is named with the reason; the others have their turn, and the exit status is 1.\n\n" +
			"With --signatures, the signature of each file is in that directory, by the file's path below its\n" +
			"argument, with .p7s at the end; files with that ending are left out then.",
		Example: "  ipe fsverity enable --executable /opt/app\n" +
			"  ipe fsverity enable --signature server.p7s server\n" +
			"  ipe fsverity enable --signatures /opt/app --executable /opt/app",
		RunE: func(cmd *cobra.Command, args []string) error {
			f.Args = args
			return a.runFSEnable(cmd, f)
		},
	}
	f.fsParams.flags(cmd)
	f.selection.flags(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.signature, "signature", "", "built-in signature of the one FILE, from this `file`")
	fl.StringVar(&f.signatures, "signatures", "", "`directory` with a signature of each file")
	fl.BoolVarP(&f.dryRun, "dry-run", "n", false, "say what would be done, read no file and change nothing")
	return cmd
}

func (a *app) runFSEnable(cmd *cobra.Command, f enableFlags) error {
	params, err := a.params(cmd, &f.fsParams)
	if err != nil {
		return err
	}
	if err := f.check(cmd); err != nil {
		return err
	}
	signature, err := a.signatures(cmd, &f)
	if err != nil {
		return err
	}
	return a.enable(cmd.Context(), &seal.Enabler{Params: params, DryRun: f.dryRun, Signature: signature}, &f)
}

// signatures says where those of the files are.
func (a *app) signatures(cmd *cobra.Command, f *enableFlags) (of func(rel string) ([]byte, error), err error) {
	var one []byte
	switch {
	case f.signature != "" && (f.signatures != "" || len(f.Args) > 1 || isDir(f.Args[0])):
		return nil, ui.Usage(cmd, "--signature is for one FILE; for more there is --signatures")
	case f.signature != "":
		if one, err = keys.ReadSignature(a.UI, f.signature); err != nil {
			return nil, err
		}
	case f.signatures != "":
		if !isDir(f.signatures) {
			return nil, ui.Usage(cmd, "--signatures %s: not a directory", plain.Name(f.signatures))
		}
		f.Without = seal.SignatureSuffix
		return func(rel string) ([]byte, error) { return a.signatureIn(f.signatures, rel) }, nil
	}
	return func(string) ([]byte, error) { return one, nil }, nil
}

// signatureIn reads the signature of a file from a directory of them.
func (a *app) signatureIn(dir, rel string) ([]byte, error) {
	b, err := keys.ReadSignature(a.UI, filepath.Join(dir, rel+seal.SignatureSuffix))
	if err != nil {
		return nil, ui.Hinted(err, "make each with ipe fsverity sign, or leave files out with --executable or --glob")
	}
	return b, nil
}

// enable prints what became of each file and, if there was more than one, how many.
func (a *app) enable(ctx context.Context, e *seal.Enabler, f *enableFlags) (err error) {
	defer a.Buffer()(&err)
	bar := a.Progress(0)
	defer bar.End()
	e.Progress = bar
	count := map[seal.Status]int{}
	failures := a.Complaints(bar)
	err = e.Run(ctx, &f.Tree, func(o *seal.Outcome) error {
		count[o.Status]++
		return a.printEnabled(o, bar, failures)
	})
	if err != nil {
		return err
	}
	bar.End()
	return a.sumUpEnabled(f, count)
}

func (a *app) printEnabled(o *seal.Outcome, bar *ui.Progress, failures *ui.Complaints) error {
	r := enabledFile{File: o.Path, Status: string(o.Status), Size: o.Size}
	if o.Err != nil {
		r.Error, r.Hint = plain.Error(o.Err), hint.Of(o.Err)
		failures.Add(o.Err)
		if !a.JSON {
			return nil
		}
	}
	bar.MakeWay()
	word := map[seal.Status]string{seal.Enabled: "enabled", seal.Already: "enabled already", seal.Possible: "can be enabled"}[o.Status]
	if o.Digest.Size() != 0 { // it is known
		r.Digest = o.Digest.String()
		word += ", " + r.Digest
	}
	return a.Result(r, "%s: %s\n", plain.Name(o.Path), word)
}

func (a *app) sumUpEnabled(f *enableFlags, count map[seal.Status]int) error {
	done, before, possible, failed := count[seal.Enabled], count[seal.Already], count[seal.Possible], count[seal.Failed]
	all := done + before + possible + failed
	var err error
	switch {
	case all == 0:
		return f.ErrNothing()
	case a.JSON, all == 1:
	case f.dryRun:
		_, err = fmt.Fprintf(a.Stdout(), "%d files can be enabled, %d are already\n", possible, before)
	default:
		_, err = fmt.Fprintf(a.Stdout(), "%d files enabled, %d already\n", done, before)
	}
	switch {
	case err != nil:
		return fmt.Errorf("write result: %w", err)
	case failed > 0 && all > 1:
		return fmt.Errorf("%d of %d files are not enabled as asked", failed, all)
	case failed > 0:
		return ui.ErrSaid
	}
	return nil
}

func isDir(name string) bool {
	st, err := os.Stat(name)
	return err == nil && st.IsDir()
}
