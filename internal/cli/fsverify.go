package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/digest"
)

// fileVerdict is the result of fsverity verify.
type fileVerdict struct {
	File   string `json:"file"`
	Valid  bool   `json:"valid"`
	Digest string `json:"digest"`
}

func (a *app) fsVerify() *cobra.Command {
	var p fsParams
	var want string
	cmd := &cobra.Command{
		Use: "verify --digest ALG:HEX FILE", Short: "Say whether a file has a certain fs-verity digest", Args: exactly(1, "one FILE"),
		Example: "  ipe fsverity verify --digest sha256:… /opt/app/bin/server",
		RunE: func(cmd *cobra.Command, args []string) error {
			if want == "" {
				return usage(cmd, "--digest is needed")
			}
			d, err := digest.Parse(want)
			if err != nil {
				return usage(cmd, "--digest: %w", err)
			}
			// The algorithm is the digest's.
			p.alg = d.Algorithm()
			params, err := p.params(cmd)
			if err != nil {
				return err
			}
			m := (&measurer{params: params, bar: a.progress(0)}).file(cmd.Context(), args[0])
			if m.err != nil {
				return m.err
			}
			r := fileVerdict{File: args[0], Valid: m.digest.Equal(d), Digest: m.digest.String()}
			if !r.Valid {
				if err := a.result(r, ""); err != nil {
					return err
				}
				return fmt.Errorf("%s: digest is %v", args[0], m.digest)
			}
			return a.result(r, "%s: ok\n", args[0])
		},
	}
	p.flags(cmd)
	cmd.Flags().Lookup("hash-alg").Hidden = true
	cmd.Flags().StringVar(&want, "digest", "", "the digest that it should have, `ALG:HEX`")
	return cmd
}
