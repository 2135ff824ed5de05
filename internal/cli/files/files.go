// Package files is the commands about files and their fs-verity digests: they do what
// fsverity(1) does, and make manifests and rules of many files.
package files

import (
	"encoding/hex"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/decimal"
	"github.com/ipe-linux/ipe/verity/fsverity"
)

// app is what the commands of this room share.
type app struct{ *ui.UI }

// Command returns the group of commands about file digests.
func Command(u *ui.UI) *cobra.Command {
	a := &app{u}
	cmd := a.Group("fsverity", "Compute fs-verity digests of files, rules from them, and enable fs-verity",
		"Enable and measure ask the kernel, about files on a file system that has fs-verity. The others compute\n"+
			"what it would answer; they need neither root nor such a file system.",
		map[string]string{"disable": "fs-verity cannot be taken away from a file: replace the file by a copy"})
	ui.LikePeer(cmd, "")
	cmd.AddCommand(a.fsDigest(), a.fsEnable(), a.fsMeasure(), a.fsManifest(), a.fsRules(), a.fsVerify(), a.fsSign())
	for _, c := range append(cmd.Commands(), cmd) {
		// fsverity(1) has --version everywhere, and -v nowhere.
		c.Version = a.Version
		c.Flags().Bool("version", false, "print the version of ipe")
		abbreviations(c)
		onlyOnce(c)
	}
	return cmd
}

// fsParams are the flags that choose how files are measured.
type fsParams struct {
	alg, salt string
	block     int
}

func (p *fsParams) flags(cmd *cobra.Command) {
	fl := cmd.Flags()
	p.alg = fsverity.DefaultAlgorithm
	fl.Var((*algorithm)(&p.alg), "hash-alg", "hash `algorithm`: sha256 or sha512")
	fl.Var(decimal.Flag(&p.block, fsverity.DefaultBlockSize), "block-size", "block size in `bytes`")
	fl.StringVar(&p.salt, "salt", "", "salt, `hex` digits")
	ui.Choices(cmd, "hash-alg", "sha256", "sha512")
}

// params checks the flags, and says so if no kernel enables fs-verity with them.
func (a *app) params(cmd *cobra.Command, p *fsParams) (fsverity.Params, error) {
	params, err := p.params(cmd)
	if err == nil && (p.block < fsverity.MinKernelBlockSize || p.block > fsverity.MaxKernelBlockSize) {
		a.WarnOf("", "no kernel enables fs-verity with blocks of %d bytes, only with some of %d to %d",
			p.block, fsverity.MinKernelBlockSize, fsverity.MaxKernelBlockSize)
	}
	return params, err
}

// params checks the flags.
func (p *fsParams) params(cmd *cobra.Command) (fsverity.Params, error) {
	salt, err := hex.DecodeString(p.salt)
	if err != nil {
		return fsverity.Params{}, ui.Usage(cmd, "--salt %s: %w", p.salt, digest.ErrHex)
	}
	params := fsverity.Params{Algorithm: p.alg, BlockSize: p.block, Salt: salt}
	if p.alg == "" || p.block == 0 {
		err = fmt.Errorf("%w: no algorithm or block size", fsverity.ErrParams)
	} else {
		_, err = fsverity.NewWriter(params)
	}
	if err != nil {
		return params, ui.Usage(cmd, "%w", err)
	}
	return params, nil
}
