package files

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/internal/author/measure"
	"github.com/ipe-linux/ipe/internal/author/walk"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/plain"
)

// fileVerdict is the result of fsverity verify --digest.
type fileVerdict struct {
	File   string `json:"file"`
	Valid  bool   `json:"valid"`
	Digest string `json:"digest"`
}

// verifyManifestFlags are those of fsverity verify.
type verifyManifestFlags struct {
	fsParams
	source                         manifestSource
	digest, root                   string
	strict, executable, ignoreMode bool
}

func (a *app) fsVerify() *cobra.Command {
	var f verifyManifestFlags
	cmd := &cobra.Command{
		Use: "verify --digest ALG:HEX FILE | --manifest MANIFEST [--trust CERT] [--root DIR] [--strict [DIR...]]", Short: "Compare files with a digest or a manifest",
		Long: "Verify says whether a file has a certain fs-verity digest, or whether the files that a manifest names\n" +
			"are what it says: there, and of that size, digest and permissions.\n\n" +
			"With --trust the manifest must be signed by one of those certificates (MANIFEST.p7s), which is found\n" +
			"out before it is read. With --root, all its paths are below DIR, and no symbolic link leads out of\n" +
			"it. With --strict, regular files that the manifest does not name are an error, in the DIRs given or\n" +
			"in all of --root; --executable looks only for programs, as in ipe fsverity manifest.",
		Example: "  ipe fsverity verify --digest sha256:… /opt/app/bin/server\n" +
			"  ipe fsverity verify --manifest image.manifest --trust signer.pem --root /mnt/image --strict",
		RunE: func(cmd *cobra.Command, args []string) error { return a.runFSVerify(cmd, args, f) },
	}
	f.flags(cmd)
	f.source.flags(cmd)
	fl := cmd.Flags()
	fl.Lookup("hash-alg").Hidden = true
	fl.StringVar(&f.digest, "digest", "", "the digest that it should have, `ALG:HEX`")
	fl.StringVar(&f.root, "root", "", "take the manifest's paths as those below this `directory`")
	fl.BoolVar(&f.strict, "strict", false, "nothing but what the manifest names may be there")
	fl.BoolVar(&f.executable, "executable", false, "with --strict, only files count that ipe fsverity manifest --executable lists")
	fl.BoolVar(&f.ignoreMode, "ignore-mode", false, "permissions may differ")
	return cmd
}

func (a *app) runFSVerify(cmd *cobra.Command, args []string, f verifyManifestFlags) error {
	if err := f.source.check(cmd); err != nil {
		return err
	}
	switch {
	case (f.digest == "") == (f.source.file == ""):
		return ui.Usage(cmd, "--digest or --manifest is needed, and not both")
	case f.digest != "" && (f.root != "" || f.strict || f.ignoreMode):
		return ui.Usage(cmd, "--root, --strict and --ignore-mode are for --manifest")
	case f.digest != "":
		return a.runDigestVerify(cmd, args, f)
	case f.executable && !f.strict:
		return ui.Usage(cmd, "--executable is for --strict")
	case len(args) > 0 && !f.strict:
		return ui.Usage(cmd, "with --manifest, directories are for --strict")
	case len(args) == 0 && f.strict && f.root == "":
		return ui.Usage(cmd, "--strict wants directories, or --root")
	}
	return a.runManifestVerify(cmd, args, f)
}

func (a *app) runDigestVerify(cmd *cobra.Command, args []string, f verifyManifestFlags) error {
	if err := ui.Exactly(1, "one FILE")(cmd, args); err != nil {
		return err
	}
	d, err := digest.Parse(f.digest)
	if err != nil {
		return ui.Usage(cmd, "--digest: %w", err)
	}
	// The algorithm is the digest's.
	f.alg = d.Algorithm()
	params, err := a.params(cmd, &f.fsParams)
	if err != nil {
		return err
	}
	m := (&measure.Measurer{Params: params, Progress: a.Progress(0)}).File(cmd.Context(), measure.Job{File: walk.Place{}.Named(args[0])})
	if m.Err != nil {
		return m.Err
	}
	r := fileVerdict{File: args[0], Valid: m.Digest.Equal(d), Digest: m.Digest.String()}
	if !r.Valid {
		if err := a.Result(r, ""); err != nil {
			return err
		}
		return fmt.Errorf("%s: digest is %v", plain.Name(args[0]), m.Digest)
	}
	return a.Result(r, "%s: ok\n", plain.Name(args[0]))
}
