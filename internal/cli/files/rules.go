package files

import (
	"fmt"
	"path"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/internal/author/measure"
	"github.com/ipe-linux/ipe/internal/author/walk"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/manifest"
	"github.com/ipe-linux/ipe/policy"
)

// rulesFlags are those of fsverity rules.
type rulesFlags struct {
	fsParams
	source            manifestSource
	op, action        string
	executable, paths bool
}

// fileRule is the result of fsverity rules, for one file.
type fileRule struct {
	File      string `json:"file"`
	Operation string `json:"operation"`
	Rule      string `json:"rule"`
}

func (a *app) fsRules() *cobra.Command {
	var f rulesFlags
	cmd := &cobra.Command{
		Use: "rules [--manifest MANIFEST | FILE...]", Short: "Print policy rules that name files by their fs-verity digests",
		Long: "Rules prints one rule a digest, for files, for all regular files in directories, or for those of a\n" +
			"manifest, to be put into a policy text. The same content twice gives one rule. With --trust, the\n" +
			"manifest must be signed by one of those certificates.\n\n" +
			"Each rule is of the operation that judges the file: KMODULE for kernel modules, which are ELF files\n" +
			"with a module's sections, or are named .ko.gz, .ko.xz or .ko.zst and so compressed; FIRMWARE for all\n" +
			"in lib/firmware; KEXEC_IMAGE for kernels, by their content or by the names vmlinuz*, vmlinux*,\n" +
			"bzImage* and Image* in boot and lib/modules; KEXEC_INITRAMFS for initrd* and initramfs* there; POLICY\n" +
			"for etc/ima/ima-policy; X509_CERT for etc/keys/x509_*.der; EXECUTE for the others. The files of a\n" +
			"manifest are told by their paths alone.\n\n" +
			"Where fs-verity is enabled, the kernel is asked for the digest and the file not read; with --hash-alg,\n" +
			"--block-size or --salt, that is so if it was enabled with these.",
		Example: "  ipe fsverity rules --executable /opt/app >>site.pol",
		RunE:    func(cmd *cobra.Command, args []string) error { return a.runFSRules(cmd, args, f) },
	}
	f.flags(cmd)
	f.source.flags(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.op, "op", "", "`operation` of all rules: "+strings.Join(ui.Operations(), ", ")+" (default that which judges the file)")
	fl.StringVar(&f.action, "action", "ALLOW", "`action` of all rules: ALLOW or DENY")
	fl.BoolVar(&f.executable, "executable", false, onlyJudged)
	fl.BoolVar(&f.paths, "paths", false, "name the file in a comment before its rule")
	ui.Choices(cmd, "op", ui.Operations()...)
	ui.Choices(cmd, "action", "ALLOW", "DENY")
	return cmd
}

func (a *app) runFSRules(cmd *cobra.Command, args []string, f rulesFlags) error {
	if (f.source.file == "") == (len(args) == 0) {
		return ui.Usage(cmd, "%s wants FILE or --manifest", cmd.CommandPath())
	}
	if err := f.source.check(cmd); err != nil {
		return err
	}
	if err := f.checkWords(); err != nil {
		return ui.Usage(cmd, "%w", err)
	}
	p, err := a.params(cmd, &f.fsParams)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	put := func(name string, op policy.Op, d digest.Digest) error {
		rule := f.rule(op, d)
		if seen[rule] {
			return nil
		}
		seen[rule] = true
		comment := ""
		if f.paths {
			comment = "# " + plain.Name(name) + "\n"
		}
		return a.Result(fileRule{name, f.operation(op), rule}, "%s%s\n", comment, rule)
	}
	if f.source.file == "" {
		m := measure.Measurer{Params: p, Kernel: measure.AskAny, Operations: f.op == ""}
		if fl := cmd.Flags(); fl.Changed("hash-alg") || fl.Changed("block-size") || fl.Changed("salt") {
			m.Kernel = measure.AskSame
		}
		return a.report(cmd.Context(), m, walk.Tree{Args: args, Executable: f.executable}, func(m measure.Result) error { return put(m.Path, m.Op, m.Digest) })
	}
	_, err = a.readManifest(f.source, func(e manifest.Entry) error { return put(e.Path, walk.OperationAt(path.Clean("/"+e.Path)), e.Digest) })
	return err
}

// operation is what all rules should have, or what the file has.
func (f *rulesFlags) operation(op policy.Op) string {
	if f.op != "" {
		return f.op
	}
	return op.String()
}

// checkWords refuses an operation or action that no policy can name. As for other commands,
// they may be in lower case.
func (f *rulesFlags) checkWords() error {
	if f.op != "" {
		op, err := policy.ParseOp(strings.ToUpper(f.op))
		if err != nil {
			return fmt.Errorf("--op %s: not one of %s", f.op, strings.Join(ui.Operations(), ", "))
		}
		f.op = op.String()
	}
	action, err := policy.ParseAction(strings.ToUpper(f.action))
	if err != nil {
		return fmt.Errorf("--action %s: not one of ALLOW, DENY", f.action)
	}
	f.action = action.String()
	return nil
}

func (f *rulesFlags) rule(op policy.Op, d digest.Digest) string {
	return fmt.Sprintf("op=%s fsverity_digest=%v action=%s", f.operation(op), d, f.action)
}
