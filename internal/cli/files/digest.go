package files

import (
	"encoding/hex"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/author/measure"
	"github.com/ipe-linux/ipe/internal/author/walk"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/verity/fsverity"
)

// fileDigest is the result of fsverity digest, for one file.
type fileDigest struct {
	File   string `json:"file"`
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
}

// digestFlags are those of fsverity digest.
type digestFlags struct {
	fsParams
	metadataFlags
	compact, builtin bool
}

// metadataFlags say where what lies behind a digest goes.
type metadataFlags struct{ outTree, outDescr string }

func (f *metadataFlags) flags(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.outTree, "out-merkle-tree", "", "write the hash tree of the one FILE to this `file`")
	fl.StringVar(&f.outDescr, "out-descriptor", "", "write the descriptor of the one FILE to this `file`")
}

func (a *app) fsDigest() *cobra.Command {
	var f digestFlags
	cmd := &cobra.Command{
		Use: "digest FILE...", Short: "Print the fs-verity digests of files", Args: ui.Some("at least one FILE"),
		Long: "Digest prints for each file what the kernel measures when fs-verity is enabled with the same\n" +
			"parameters, as \"fsverity digest\" does. In a directory, that is each regular file.",
		Example: "  ipe fsverity digest /usr/bin/true",
		RunE:    func(cmd *cobra.Command, args []string) error { return a.runFSDigest(cmd, args, f) },
	}
	f.fsParams.flags(cmd)
	f.metadataFlags.flags(cmd)
	fl := cmd.Flags()
	fl.BoolVar(&f.compact, "compact", false, "print the digest alone, without algorithm and name")
	fl.BoolVar(&f.builtin, "for-builtin-sig", false, "print what a built-in signature covers, as hex")
	return cmd
}

func (a *app) runFSDigest(cmd *cobra.Command, files []string, f digestFlags) error {
	p, err := a.params(cmd, &f.fsParams)
	if err != nil {
		return err
	}
	if (f.outTree != "" || f.outDescr != "") && len(files) != 1 {
		return ui.Usage(cmd, "--out-merkle-tree and --out-descriptor are for one FILE")
	}
	if err := a.writeMetadata(cmd, files[0], p, f.metadataFlags); err != nil {
		return err
	}
	return a.report(cmd.Context(), measure.Measurer{Params: p}, walk.Tree{Args: files}, func(m measure.Result) error { return a.printDigest(m, f) })
}

func (a *app) printDigest(m measure.Result, f digestFlags) error {
	text := m.Digest.String()
	if a.JSON {
		return a.PrintJSON(fileDigest{File: m.Path, Digest: text, Size: m.Size})
	}
	switch {
	case f.builtin:
		b, err := fsverity.FormattedDigest(m.Digest)
		if err != nil {
			return err
		}
		text = hex.EncodeToString(b)
	case f.compact:
		text = hex.EncodeToString(m.Digest.Bytes())
	}
	if !f.compact {
		text += " " + plain.Name(m.Path)
	}
	return a.Result(nil, "%s\n", text)
}

// writeMetadata writes tree and descriptor of a file, as far as they are asked for.
func (a *app) writeMetadata(cmd *cobra.Command, file string, p fsverity.Params, f metadataFlags) error {
	if f.outTree == "" && f.outDescr == "" {
		return nil
	}
	for _, out := range []string{f.outTree, f.outDescr} {
		if out != "" && ui.SameFile(out, file) {
			return ui.Usage(cmd, "%s: would be overwritten", plain.Name(file))
		}
	}
	d, err := measure.Tree(cmd.Context(), file, f.outTree, p)
	if err != nil || f.outDescr == "" {
		return err
	}
	b, err := d.MarshalBinary()
	if err != nil {
		return err
	}
	return ui.Create(f.outDescr, b)
}
