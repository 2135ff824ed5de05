package files

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/author/measure"
	"github.com/ipe-linux/ipe/internal/author/seal"
	"github.com/ipe-linux/ipe/internal/author/walk"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/cli/ui/keys"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/manifest"
	"github.com/ipe-linux/ipe/sign"
)

// manifestFlags are those of fsverity manifest.
type manifestFlags struct {
	keys.Flags
	fsParams
	out, root  string
	executable bool
}

// writtenManifest is the result of fsverity manifest if it goes to a file.
type writtenManifest struct {
	Output    string `json:"output"`
	Files     int    `json:"files"`
	Signature string `json:"signature"` // empty if it is not signed
	Signer    string `json:"signer"`
}

func (a *app) fsManifest() *cobra.Command {
	var f manifestFlags
	cmd := &cobra.Command{
		Use: "manifest FILE...", Short: "List files with their fs-verity digests, as JSON lines", Args: ui.Some("at least one FILE or directory"),
		Long: "Manifest prints one JSON object a line for each file, and for each regular file in a directory:\n" +
			"path, digest, size and permissions. ipe fsverity rules and verify read it.\n\n" +
			"With --root, paths are those below DIR. With -o, the manifest is written whole or, if a file cannot\n" +
			"be read, not at all; with --key and --cert it is signed as well, and OUT.p7s is the detached\n" +
			"signature (PKCS#7) of its bytes. The passphrase of an encrypted key is read as by ipe policy sign.",
		Example: "  ipe fsverity manifest --executable /opt/app >app.manifest\n" +
			"  ipe fsverity manifest --root /mnt/image --key signer.key --cert signer.pem -o image.manifest /",
		RunE: func(cmd *cobra.Command, args []string) error { return a.runFSManifest(cmd, args, f) },
	}
	f.AddForFiles(cmd, keys.DefaultHash)
	f.flags(cmd)
	fl := cmd.Flags()
	fl.StringVarP(&f.out, "output", "o", "", "`file` to write (default standard output)")
	fl.StringVar(&f.root, "root", "", "take paths as those below this `directory`")
	fl.BoolVar(&f.executable, "executable", false, onlyJudged)
	return cmd
}

func (a *app) runFSManifest(cmd *cobra.Command, files []string, f manifestFlags) error {
	params, err := a.params(cmd, &f.fsParams)
	if err != nil {
		return err
	}
	if f.Hash == "" {
		f.Hash = keys.DefaultHash
	}
	signing := f.Key != "" || f.Cert != ""
	if signing {
		if f.out == "" || f.out == "-" {
			return ui.Usage(cmd, "a signed manifest needs -o")
		}
		if err := f.Check(cmd, f.out, f.out+seal.SignatureSuffix); err != nil {
			return err
		}
	}
	in, err := walk.At(f.root)
	if err != nil {
		return err
	}
	defer in.Close()
	whole := f.out != "" && f.out != "-"
	var list measure.List
	var text measure.Text
	if whole {
		list.Mind("would be overwritten by -o, and cannot be listed", f.out, f.out+seal.SignatureSuffix)
	}
	err = a.report(cmd.Context(), measure.Measurer{Params: params, Kernel: measure.AskSame}, walk.Tree{In: in, Args: files, Executable: f.executable}, func(file measure.Result) error {
		e, err := entryOf(file, &list)
		if err != nil || e == nil {
			return err
		}
		if whole {
			return text.Add(e)
		}
		return a.PrintJSON(e)
	})
	switch {
	case err != nil || !whole:
		return err
	case list.Len() == 0:
		return ui.Hinted(fmt.Errorf("%s: %w", plain.Name(f.out), manifest.ErrEmpty), "nothing was written")
	}
	return a.writeManifest(cmd.Context(), text.Bytes(), list.Len(), signing, f)
}

// writeManifest writes the signature, too, if there is to be one.
func (a *app) writeManifest(ctx context.Context, text []byte, files int, signing bool, f manifestFlags) error {
	r := writtenManifest{Output: f.out, Files: files}
	by := ""
	var message []byte
	if signing {
		var err error
		if message, r.Signer, err = f.Detached(ctx, a.UI, text, sign.Options{}); err != nil {
			return err
		}
		r.Signature = f.out + seal.SignatureSuffix
		by = fmt.Sprintf(", signed by %s in %s", plain.Text(r.Signer), plain.Name(r.Signature))
	}
	if err := ui.Create(f.out, text); err != nil {
		return err
	}
	if signing {
		if err := ui.Create(r.Signature, message); err != nil {
			return err
		}
	}
	return a.Result(r, "%s: %d files%s\n", plain.Name(r.Output), r.Files, by)
}

// entryOf returns nil for a path that has been there.
func entryOf(f measure.Result, in *measure.List) (*manifest.Entry, error) {
	e, err := in.Entry(f)
	if path := filepath.Clean(f.Path); manifest.CheckPath(path) != nil && !filepath.IsLocal(path) && !filepath.IsAbs(path) {
		err = ui.Hinted(err, "--root names a directory above, where paths begin")
	}
	return e, err
}
