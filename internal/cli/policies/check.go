package policies

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/cli/ui/texts"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/hint"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/policy"
)

// checkFlags say what becomes of the texts that policy check is given.
type checkFlags struct {
	texts.Signer
	boot bool
}

func (a *app) check() *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use: "check FILE...", Short: "Say whether a kernel would accept policy texts", Args: ui.Some("at least one FILE"),
		Long: "Check parses policy texts as the kernel does, shows all that is wrong with them, and says how long\n" +
			"the signed message is at least: no engine takes one of more than 65535 bytes, neither iped's own\n" +
			"(bpf) nor the kernel's (securityfs). A text that no such message can hold is an error. FILE - is\n" +
			"standard input.\n\n" +
			"With --json each file gives one line\n" +
			`  {"file","valid","errno","name","version","line","column","message","size","room","engines","warnings","errors"}` + "\n" +
			"where errno is the kernel's symbol, EBADMSG, EINVAL, ERANGE or EMSGSIZE, or empty; or that of what\n" +
			"keeps a file from being read. size is that of the message in bytes, room how many more fit. Errors\n" +
			"and warnings have a code that stays, warnings also a severity: info, warning or error.\n\n" +
			"Exit status 0 only if every file is valid.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.boot && f.Cert != "" {
				return ui.Usage(cmd, "--boot and --cert exclude each other: a boot policy is not signed")
			}
			if err := f.Read(a.UI); err != nil {
				return err
			}
			return texts.Each(args, func(file string) (ok bool, err error) { return a.checkFile(file, &f) })
		},
	}
	f.Add(cmd)
	cmd.Flags().BoolVar(&f.boot, "boot", false, "the texts are for iped --boot-policy, or compiled into a kernel: not signed, and longer")
	return cmd
}

// checkFile checks and reports one file; err is only about writing the report.
func (a *app) checkFile(file string, f *checkFlags) (ok bool, err error) {
	text, err := a.Read(file)
	var p *policy.Policy
	if err == nil {
		p, err = policy.Parse(text)
	}
	x := extent{f.Extent(text), f.boot}
	if f.boot {
		x.Extent = texts.Extent{Size: len(text), Limit: api.MaxBoot - 1, Exact: true}
	}
	if err == nil {
		err = a.unfit(x)
	}
	if a.JSON {
		return err == nil, a.PrintJSON(a.verdict(file, text, p, x, err))
	}
	if err != nil {
		a.texts.DiagnoseAll(file, text, err)
		a.Hint(hint.Of(err))
		return false, nil
	}
	a.texts.Warn(file, a.texts.Warnings(text, x.Extent))
	return true, a.Result(nil, "%s: ok: %s %s, %s; %v\n", plain.Name(file), plain.Name(p.Name), p.Version, ui.Count(len(p.Rules), "rule"), x)
}

// verdict is a line of check --json.
func (a *app) verdict(file string, text []byte, p *policy.Policy, x extent, err error) texts.Verdict {
	if p == nil {
		return a.texts.Verdict(file, text, texts.Head{}, err)
	}
	v := a.texts.Verdict(file, text, texts.Head{Name: p.Name, Version: p.Version.String()}, err)
	v.Size, v.Room, v.Engines = x.Size, x.Left(), x.engines(p)
	v.Warnings = a.texts.Warnings(text, x.Extent)
	return v
}

// extent is how long the message of a text, or that of a boot policy, will be.
type extent struct {
	texts.Extent
	boot bool
}

// String is for the line of a policy that fits.
func (e extent) String() string {
	if e.boot {
		return fmt.Sprintf("%d of at most %d bytes", e.Size, e.Limit)
	}
	return e.Extent.String()
}

// errNoBoot is about a text that is a policy, and that nothing takes.
var errNoBoot = errors.New("neither iped nor a kernel takes it as a boot policy")

// unfit is nil if the policy fits. EMSGSIZE, or ENOMEM for a boot policy, as of the kernel.
func (a *app) unfit(e extent) error {
	err := a.texts.Unfit(e.Extent)
	if err == nil || !e.boot {
		return err
	}
	return ui.Hinted(fmt.Errorf("%w: it has %d bytes, %d more than fit: %w", errNoBoot, e.Size, -e.Left(), unix.ENOMEM), "%s", hint.Of(err))
}

// engines are those that take the policy. Both make a directory, or what looks like one,
// of its name.
func (e extent) engines(p *policy.Policy) []string {
	if e.Left() < 0 || api.CheckName(p.Name) != nil {
		return []string{}
	}
	if e.boot {
		return []string{api.EngineBPF} // the other has it compiled in
	}
	return []string{api.EngineBPF, api.EngineSecurityfs}
}
