package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/rpc/client"
)

// TestUnreachable: an iped that is absent is started, one that hangs replaced, and of one
// that may have done something it is said how to find out.
func TestUnreachable(t *testing.T) {
	for _, tt := range []struct {
		also []error
		want []string
	}{
		{nil, []string{"systemctl start iped"}},
		{[]error{client.ErrHung}, []string{"systemctl restart iped"}},
		{[]error{client.ErrUnknownOutcome}, []string{"ipe status says"}},
		{[]error{client.ErrHung, client.ErrUnknownOutcome}, []string{"ipe status says", "systemctl restart iped"}},
	} {
		hint := unreachableHint(errors.Join(append(tt.also, client.ErrUnreachable)...))
		for _, want := range tt.want {
			if !strings.Contains(hint, want) {
				t.Errorf("%v: %q, want %q", tt.also, hint, want)
			}
		}
	}
}

// TestRefusal: what would be denied is shown, and the exit code says so.
func TestRefusal(t *testing.T) {
	refusal := &api.Error{Message: "refused", Errno: "EPERM", Forecast: &api.Forecast{
		Policy: "p\x1b", Version: "1.0.0", Files: 3, Omitted: 20,
		Findings: []api.Finding{{Path: "/bin/a\n", Users: 5}},
	}}
	var stdout, stderr bytes.Buffer
	code := ui.Main(nil, &bytes.Buffer{}, &stdout, &stderr, func(u *ui.UI) *cobra.Command {
		d := New(u)
		return &cobra.Command{Use: "x", RunE: func(cmd *cobra.Command, _ []string) error {
			return d.Change(cmd, false, func(context.Context, *client.Client) error { return fmt.Errorf("ask: %w", refusal) })
		}}
	})
	out := stdout.String()
	if code != ui.ExitLockout || !strings.Contains(out, "would newly deny, of 3 files in use") || !strings.Contains(out, "and 1 more, which --json shows") {
		t.Errorf("exit code %d: %q, %q", code, out, &stderr)
	}
	if strings.ContainsAny(out, "\x1b\r") || strings.Contains(out, "/bin/a\n") {
		t.Errorf("a name commands the terminal: %q", out)
	}
}
