package files

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/author/walk"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/cli/ui/keys"
	"github.com/ipe-linux/ipe/internal/hint"
	"github.com/ipe-linux/ipe/internal/inorder"
	"github.com/ipe-linux/ipe/internal/plain"
)

// What became of a file, as JSON has it.
const (
	statusEnabled  = "enabled"
	statusAlready  = "already" // with the same parameters, and signature if there is one
	statusPossible = "possible"
	statusFailed   = "failed"
)

// enabledFile is the result of fsverity enable, for one file.
type enabledFile struct {
	File   string `json:"file"`
	Status string `json:"status"`
	Digest string `json:"digest,omitempty"`
	Size   int64  `json:"size"`
	Error  string `json:"error,omitempty"`
	Hint   string `json:"hint,omitempty"`

	err error
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
	e := &enabler{a: a, params: params, dryRun: f.dryRun, Tree: f.Tree, signatures: f.signatures, bar: a.Progress(0)}
	if err := f.check(cmd); err != nil {
		return err
	}
	switch {
	case f.signature != "" && (f.signatures != "" || len(f.Args) > 1 || isDir(f.Args[0])):
		return ui.Usage(cmd, "--signature is for one FILE; for more there is --signatures")
	case f.signature != "":
		if e.signature, err = keys.ReadSignature(a.UI, f.signature); err != nil {
			return err
		}
	case f.signatures != "":
		if !isDir(f.signatures) {
			return ui.Usage(cmd, "--signatures %s: not a directory", plain.Name(f.signatures))
		}
		e.Without = signatureSuffix
	}
	return e.run(cmd.Context())
}

// run prints what became of each file and, if there was more than one, how many.
func (e *enabler) run(ctx context.Context) (err error) {
	defer e.a.Buffer()(&err)
	defer e.bar.End()
	e.count = map[string]int{}
	failures := e.a.Complaints(e.bar)
	worker := func() func(walk.File) *enabledFile {
		m := &measurer{params: e.params, bar: e.bar}
		return func(f walk.File) *enabledFile { return e.file(ctx, m, f) }
	}
	err = inorder.Do(ctx, e.Files, worker, func(r *enabledFile) error {
		if r == nil {
			return nil
		}
		e.count[r.Status]++
		return e.print(r, failures)
	})
	if err != nil {
		return err
	}
	e.bar.End()
	return e.summary(failures.N)
}

func (e *enabler) print(r *enabledFile, failures *ui.Complaints) error {
	if r.err != nil {
		r.Error, r.Hint = plain.Error(r.err), hint.Of(r.err)
		failures.Add(r.err)
		if !e.a.JSON {
			return nil
		}
	}
	e.bar.MakeWay()
	word := map[string]string{statusEnabled: "enabled", statusAlready: "enabled already", statusPossible: "can be enabled"}[r.Status]
	if r.Digest != "" {
		word += ", " + r.Digest
	}
	return e.a.Result(r, "%s: %s\n", plain.Name(r.File), word)
}

func (e *enabler) summary(failed int) error {
	done, before, possible := e.count[statusEnabled], e.count[statusAlready], e.count[statusPossible]
	all := done + before + possible + failed
	var err error
	switch {
	case all == 0:
		return e.ErrNothing()
	case e.a.JSON, all == 1:
	case e.dryRun:
		_, err = fmt.Fprintf(e.a.Stdout(), "%d files can be enabled, %d are already\n", possible, before)
	default:
		_, err = fmt.Fprintf(e.a.Stdout(), "%d files enabled, %d already\n", done, before)
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
