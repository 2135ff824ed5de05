package files

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/cli/ui/keys"
	"github.com/ipe-linux/ipe/internal/decimal"
)

// peerFlags are the long options of fsverity(1), by command. The commands that it does not
// have are given those that say how files are measured, lest a word mean one thing here
// and another there.
var peerFlags = map[string][]string{
	"digest": {"block-size", "compact", "for-builtin-sig", "hash-alg", "out-descriptor", "out-merkle-tree", "salt"},
	"enable": {"block-size", "hash-alg", "salt", "signature"},
	"sign": {"block-size", "cert", "hash-alg", "key", "out-descriptor", "out-merkle-tree",
		"pkcs11-engine", "pkcs11-keyid", "pkcs11-module", "salt"},
	"": {"block-size", "hash-alg", "salt"},
}

// abbreviations makes the command take what fsverity(1) takes for its options: any
// beginning that only one of them has (getopt_long(3)). All flags must be there already.
func abbreviations(cmd *cobra.Command) {
	peer := peerFlags[cmd.Name()]
	if peer == nil {
		peer = peerFlags[""]
	}
	whole := map[string]bool{}
	cmd.Flags().VisitAll(func(f *pflag.Flag) { whole[f.Name] = true })
	cmd.Flags().SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if whole[name] || name == "" {
			return pflag.NormalizedName(name)
		}
		meant, n := name, 0
		for _, long := range peer {
			if strings.HasPrefix(long, name) {
				meant = long
				n++
			}
		}
		if n > 1 {
			meant = name
		}
		return pflag.NormalizedName(meant)
	})
}

// peerToken are the options by which fsverity(1) names a key on a token.
type peerToken struct{ engine, module, keyID string }

func (p *peerToken) flags(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&p.engine, "pkcs11-engine", "", "taken for the sake of fsverity(1): no `engine` is needed")
	fl.StringVar(&p.module, "pkcs11-module", "", "`library` of the token, as module-path in the URI of --key")
	fl.StringVar(&p.keyID, "pkcs11-keyid", "", "`URI` of the key on the token, as --key")
}

// uri returns what --key would be, "" if the options are not given.
func (p *peerToken) uri(cmd *cobra.Command, key string) (string, error) {
	switch {
	case p.engine == "" && p.module == "" && p.keyID == "":
		return key, nil
	case key != "":
		return "", ui.Usage(cmd, "--key and --pkcs11-module are two ways to name a key")
	case p.module == "":
		return "", ui.Usage(cmd, "--pkcs11-module is needed: the library of the token's vendor")
	}
	uri, err := keys.WithModule(p.keyID, p.module)
	switch {
	case errors.Is(err, keys.ErrNamesModule):
		return "", ui.Usage(cmd, "--pkcs11-keyid names a module-path, and --pkcs11-module another")
	case err != nil:
		return "", ui.Usage(cmd, "--pkcs11-keyid: %w", err)
	}
	return uri, nil
}

// algorithm is a hash algorithm, which fsverity(1) also takes by its number.
type algorithm string

// algorithmNumbers are those of linux/fsverity.h.
var algorithmNumbers = map[int]algorithm{unix.FS_VERITY_HASH_ALG_SHA256: "sha256", unix.FS_VERITY_HASH_ALG_SHA512: "sha512"}

// Set implements [pflag.Value]. What names no algorithm is left for whoever uses it.
func (a *algorithm) Set(text string) error {
	*a = algorithm(text)
	if n, err := decimal.Parse[int](text); err == nil && algorithmNumbers[n] != "" {
		*a = algorithmNumbers[n]
	}
	return nil
}

func (a *algorithm) String() string { return string(*a) }

// Type implements [pflag.Value].
func (*algorithm) Type() string { return "string" }

// once is the value of an option that may be given one time: fsverity(1) refuses a second,
// and which of the two counts nobody should have to know.
type once struct {
	pflag.Value
	given bool
}

// Set implements [pflag.Value].
func (o *once) Set(text string) error {
	if o.given {
		return errTwice
	}
	o.given = true
	return o.Value.Set(text)
}

var errTwice = errors.New("it can be given only once")

// onlyOnce makes the command refuse a second value for the options of fsverity(1).
func onlyOnce(cmd *cobra.Command) {
	for _, name := range peerFlags[cmd.Name()] {
		if f := cmd.Flags().Lookup(name); f != nil && f.Value.Type() != "bool" {
			f.Value = &once{Value: f.Value}
		}
	}
}
