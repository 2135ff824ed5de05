package profiles

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/cli/ui/daemon"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/plain"
)

func (a *app) show() *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Print the loaded profile", Args: ui.None,
		Long: "Show asks iped for the loaded profile: its name and version, whose signature vouches for it, since\n" +
			"when it is loaded, and its text.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.Ask(cmd, func(ctx context.Context, c *daemon.Client) error {
				p, err := c.Profile(ctx)
				if err != nil {
					return err
				}
				return a.Result(p, "%s", shown(p))
			})
		},
	}
}

func shown(p api.Profile) string {
	var b strings.Builder
	row := func(label, format string, args ...any) {
		fmt.Fprintf(&b, "%-11s%s\n", label, plain.Text(fmt.Sprintf(format, args...)))
	}
	row("profile", "%s %s, sha256:%.16s", plain.Name(p.Name), p.Version, p.SHA256)
	row("signed by", "%s", signedBy(p))
	if p.Loaded.IsZero() {
		row("loaded", "not known when")
	} else {
		row("loaded", "%s", p.Loaded.Format(time.RFC3339))
	}
	if p.Overrides != "" {
		row("base", "%s, which overrules iped --profile %s", p.Base, p.Overrides)
	}
	if p.Error != "" {
		row("problem", "%s", p.Error)
	}
	b.WriteByte('\n')
	for line := range strings.Lines(p.Text) {
		b.WriteString(plain.Text(strings.TrimSuffix(line, "\n")) + "\n")
	}
	return b.String()
}

// signedBy says who vouches for a profile. Of a message that is lost nobody knows.
func signedBy(p api.Profile) string {
	switch {
	case len(p.Signers) > 0:
		return strings.Join(p.Signers, "; ")
	case p.Text == "":
		return "not known"
	}
	return "nobody whom iped trusts"
}
