package profiles

import (
	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/cli/ui/texts"
	"github.com/ipe-linux/ipe/internal/hint"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/internal/profile"
)

// verdict is one line of check --json. Keys and their presence are an interface.
type verdict struct {
	texts.Verdict
	// Base is strict or compat; empty if the text is refused.
	Base       string      `json:"base"`
	Exceptions []exception `json:"exceptions"`
}

// checkFlags are those of profile check.
type checkFlags struct {
	texts.Signer
	explain bool
}

func (a *app) check() *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use: "check FILE...", Short: "Say whether iped would accept profile texts", Args: ui.Some("at least one FILE"),
		Long: "Check parses profile texts, shows all that is wrong with them, and says how long the signed\n" +
			"message is at least: iped takes none of more than 65535 bytes. FILE - is standard input. With\n" +
			"--explain it says in words what each exception allows.\n\n" +
			"With --json each file gives one line\n" +
			`  {"file","valid","errno","name","version","line","column","message","size","room","engines","warnings","errors","base","exceptions"}` + "\n" +
			"where all but the last two are as those of policy check. Exceptions have line, rule, action, the\n" +
			"executable's fsverity_digest, dmverity_roothash and path, and in allows what they allow.\n\n" +
			"Exit status 0 only if every file is valid.",
		RunE: func(_ *cobra.Command, args []string) error {
			if err := f.Read(a.UI); err != nil {
				return err
			}
			return texts.Each(args, func(file string) (ok bool, err error) { return a.checkFile(file, &f) })
		},
	}
	f.Add(cmd)
	cmd.Flags().BoolVar(&f.explain, "explain", false, "say what each exception allows")
	return cmd
}

// checkFile checks and reports one file; err is only about writing the report.
func (a *app) checkFile(file string, f *checkFlags) (ok bool, err error) {
	text, err := a.Read(file)
	var p *profile.Profile
	if err == nil {
		p, err = profile.Parse(text)
	}
	x := f.Extent(text)
	if err == nil {
		err = a.texts.Unfit(x)
	}
	if a.JSON {
		return err == nil, a.PrintJSON(a.verdict(file, text, p, x, err))
	}
	if err != nil {
		a.texts.DiagnoseAll(file, text, err)
		a.Hint(hint.Of(err))
		return false, nil
	}
	a.texts.Warn(file, a.texts.Warnings(text, x))
	listed := ""
	if f.explain {
		listed = explained(p)
	}
	return true, a.Result(nil, "%s: ok: %s %s, %s, %s; %v\n%s", plain.Name(file), plain.Name(p.Name), p.Version, p.Base,
		ui.Count(len(p.Exceptions), "exception"), x, listed)
}

// verdict is a line of check --json.
func (a *app) verdict(file string, text []byte, p *profile.Profile, x texts.Extent, err error) verdict {
	if p == nil {
		return verdict{a.texts.Verdict(file, text, texts.Head{}, err), "", []exception{}}
	}
	v := verdict{a.texts.Verdict(file, text, texts.Head{Name: p.Name, Version: p.Version.String()}, err), p.Base.String(), exceptionsOf(p)}
	v.Size, v.Room, v.Warnings = x.Size, x.Left(), a.texts.Warnings(text, x)
	if err == nil {
		v.Engines = []string{"bpf"} // a kernel's own IPE asks what it asks
	}
	return v
}
