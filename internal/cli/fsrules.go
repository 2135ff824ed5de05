package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/digest"
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
	File string `json:"file"`
	Rule string `json:"rule"`
}

func (a *app) fsRules() *cobra.Command {
	var f rulesFlags
	cmd := &cobra.Command{
		Use: "rules [--manifest MANIFEST | FILE...]", Short: "Print policy rules that name files by their fs-verity digests",
		Long: "Rules prints one rule a digest, for files, for all regular files in directories, or for those of a\n" +
			"manifest, to be put into a policy text. The same content twice gives one rule. With --trust, the\n" +
			"manifest must be signed by one of those certificates.",
		Example: "  ipe fsverity rules --executable /opt/app >>site.pol",
		RunE:    func(cmd *cobra.Command, args []string) error { return a.runFSRules(cmd, args, f) },
	}
	f.flags(cmd)
	f.source.flags(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.op, "op", "EXECUTE", "operation: "+strings.Join(opNames(), ", "))
	fl.StringVar(&f.action, "action", "ALLOW", "ALLOW or DENY")
	fl.BoolVar(&f.executable, "executable", false, "in directories, only files with an executable bit and ELF files")
	fl.BoolVar(&f.paths, "paths", false, "name the file in a comment before its rule")
	choices(cmd, "op", opNames()...)
	choices(cmd, "action", "ALLOW", "DENY")
	return cmd
}

func (a *app) runFSRules(cmd *cobra.Command, args []string, f rulesFlags) error {
	if (f.source.file == "") == (len(args) == 0) {
		return usage(cmd, "%s wants FILE or --manifest", cmd.CommandPath())
	}
	if err := f.source.check(cmd); err != nil {
		return err
	}
	// The policy's own parser says whether operation and action exist.
	if _, err := policy.Parse([]byte(ruleProbe + f.rule(digest.New("sha256", make([]byte, 32))))); err != nil {
		return usage(cmd, "--op %s --action %s: %w", f.op, f.action, err)
	}
	p, err := f.params(cmd)
	if err != nil {
		return err
	}
	seen := map[digest.Digest]bool{}
	put := func(path string, d digest.Digest) error {
		if seen[d] {
			return nil
		}
		seen[d] = true
		comment := ""
		if f.paths {
			comment = "# " + printable(path) + "\n"
		}
		return a.result(fileRule{path, f.rule(d)}, "%s%s\n", comment, f.rule(d))
	}
	if f.source.file == "" {
		return a.report(cmd.Context(), place{}, args, keeping(f.executable), p, func(m measured) error { return put(m.path, m.digest) })
	}
	_, err = a.readManifest(f.source, func(e listed) error { return put(e.Path, e.digest) })
	return err
}

// ruleProbe makes a policy of one rule.
const ruleProbe = "policy_name=probe policy_version=0.0.0\nDEFAULT action=DENY\n"

func (f *rulesFlags) rule(d digest.Digest) string {
	return fmt.Sprintf("op=%s fsverity_digest=%v action=%s", f.op, d, f.action)
}
