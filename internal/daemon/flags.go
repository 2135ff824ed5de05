package daemon

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/profiles"
	"github.com/ipe-linux/ipe/internal/daemon/policydir"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/internal/strict"
)

// engineAuto has api.Choose choose the engine.
const engineAuto = "auto"

// config is the command line.
type config struct {
	engine     string
	trust      []string
	state      string
	socket     string
	bootPolicy string
	policyDirs []string
	rootHashes []string
	fs         string
	keepCaches bool
	rules      []string
	profile    string
	audit      auditConfig
	repair     bool
	version    bool
	// profiles is what is asked by a stored profile, or by the flags above; nil if by the latter.
	profiles *profiles.Profiles
	// problems are those that the process had before it began.
	problems []error
}

func parseFlags(args []string, stderr io.Writer) (config, error) {
	c := config{policyDirs: policydir.Default()}
	fs := flag.NewFlagSet("iped", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&c.engine, "engine", engineAuto, "what enforces: `auto|bpf|securityfs`")
	fs.Func("trust", "`path` of trusted certificates, PEM or DER: a file, or a directory of .pem, .crt, .cer and .der files; or the word kernel, for the kernel's own keyrings; may be repeated", func(p string) error {
		c.trust = append(c.trust, p)
		return nil
	})
	fs.StringVar(&c.state, "state", "/var/lib/ipe", "`directory` of deployed policies and version floors")
	fs.StringVar(&c.socket, "socket", api.DefaultSocket, "`path` of the Unix socket for ipe(1)")
	fs.StringVar(&c.bootPolicy, "boot-policy", "", "`file` with the policy text that is active while none is deployed and active")
	var given []string
	fs.Func("policy-dir", "`directory` whose files *.p7b are deployed at start; may be repeated, and then replaces "+
		strings.Join(c.policyDirs, ", ")+"; empty for none", func(p string) error {
		if p != "" {
			given = append(given, p)
		}
		c.policyDirs = given
		return nil
	})
	fs.Func("roothash-signature", "`path` of a root hash and its signature, NAME.roothash and NAME.roothash.p7s, or of a directory of such; volumes with it count as signed; may be repeated", func(p string) error {
		c.rootHashes = append(c.rootHashes, p)
		return nil
	})
	fs.StringVar(&c.fs, "fs", "", "`directory` to mount the control tree on, as the kernel's /sys/kernel/security/ipe; not mounted by default")
	fs.BoolVar(&c.keepCaches, "keep-caches", false, "do not make unused files leave memory at the first start, to learn of their fs-verity signatures")
	fs.StringVar(&c.profile, "profile", api.ProfileCompat, "what is asked of facts while no profile is loaded: `compat|strict`, what the kernel's own IPE asks, or that they hold for all that is read; strict needs the bpf engine")
	fs.Func("rule", "`RULE=off|monitor|enforce`, a switch of a strict rule, which --profile strict enforces and compat leaves off; may be repeated: see iped(8)", func(text string) error {
		c.rules = append(c.rules, text)
		return new(strict.Rules).Set(text)
	})
	auditFlags(fs, &c.audit)
	fs.BoolVar(&c.repair, "repair", false, "start also if the policy that was to be active cannot be, to put that right; without it iped ends with exit status 3 then")
	fs.BoolVar(&c.version, "version", false, "print the version and exit")
	fs.Usage = func() {} // an error is not to be buried under it
	help := func() {
		fmt.Fprintln(stderr, "Usage: iped [flags]\n\niped deploys signed policies to the kernel, which enforces them. It needs root.\n\nFlags:")
		fs.VisitAll(func(f *flag.Flag) { describe(stderr, f) })
	}
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			help()
		} else {
			err = errors.New(oneDash.ReplaceAllString(err.Error(), "$1--"))
		}
		return c, fmt.Errorf("%w (see iped --help)", err)
	}
	if fs.NArg() > 0 {
		return c, fmt.Errorf("iped takes no arguments, got %s (see iped --help)", plain.Name(fs.Arg(0)))
	}
	if err := c.audit.check(); err != nil {
		return c, err
	}
	return c, c.check()
}

// check refuses words that are none.
func (c *config) check() error {
	switch c.engine {
	case engineAuto, api.EngineBPF, api.EngineSecurityfs:
	default:
		return fmt.Errorf("--engine %s: not one of auto, bpf, securityfs", c.engine)
	}
	switch c.profile {
	case api.ProfileCompat, api.ProfileStrict:
		return nil
	}
	return fmt.Errorf("--profile %s: not one of compat, strict", c.profile)
}

// oneDash matches how package flag names flags; people write two dashes, as everywhere
// else here.
var oneDash = regexp.MustCompile(`(flag |defined: |argument: )-\b`)

// describe prints a flag for iped --help.
func describe(w io.Writer, f *flag.Flag) {
	arg, text := flag.UnquoteUsage(f)
	if arg != "" {
		arg = " " + arg
	}
	if f.DefValue != "" && f.DefValue != "false" {
		text += " (default " + f.DefValue + ")"
	}
	fmt.Fprintf(w, "  --%s%s\n    \t%s\n", f.Name, arg, text)
}
