package policies

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/cli/ui/texts"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/sign"
)

func (a *app) show() *cobra.Command {
	var textOnly bool
	cmd := &cobra.Command{
		Use: "show FILE.p7b", Short: "Show what a signed policy contains, without believing it", Args: ui.Exactly(1, "one FILE.p7b"),
		RunE: func(_ *cobra.Command, args []string) error { return a.runShow(args[0], textOnly) },
	}
	cmd.Flags().BoolVar(&textOnly, "text", false, "print the policy text alone, byte for byte")
	return cmd
}

func (a *app) runShow(file string, textOnly bool) error {
	raw, err := a.Read(file)
	if err != nil {
		return err
	}
	e, err := sign.Inspect(raw)
	if err != nil {
		return a.texts.Misplaced(file, raw, err)
	}
	if textOnly {
		return a.EmitText(e.Content)
	}
	info := a.texts.Describe(file, raw, e)
	info.Policy = string(e.Content)
	refused := e.Refused
	if _, err := a.texts.Parse(e.Content); err != nil && refused == nil {
		refused = fmt.Errorf("not a valid policy: %w", err)
	}
	if refused != nil {
		info.Errno, info.Message = ui.Symbol(refused), plain.Error(refused)
	}
	return a.Result(info, "%s: %s\n%s\n%s", plain.Name(file), title(info), info.Text(), printableLines(info.Policy))
}

func title(i texts.Info) string {
	if i.Errno != "" {
		return "no kernel takes this: " + plain.Text(i.Message) + " [" + i.Errno + "]"
	}
	return plain.Name(i.Name) + " " + i.Version + " (signature not checked)"
}

func printableLines(s string) string {
	lines := strings.Split(strings.TrimSuffix(s, "\n"), "\n")
	for i, l := range lines {
		lines[i] = "    " + ui.Masked(strings.TrimSuffix(l, "\r"))
	}
	return strings.Join(lines, "\n") + "\n"
}
