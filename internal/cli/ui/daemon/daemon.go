// Package daemon asks iped for commands: it says where iped listens, that it is busy or does
// not answer, and what it refuses because code that runs would be denied.
package daemon

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/rpc/client"
	"github.com/ipe-linux/ipe/internal/plain"
)

// Client is what a command asks.
type Client = client.Client

// Asker asks iped for commands.
type Asker struct {
	*ui.UI
	socket string
}

// New returns an Asker that asks where iped listens by default.
func New(u *ui.UI) *Asker {
	d := &Asker{UI: u, socket: u.Getenv("IPE_SOCKET")}
	if d.socket == "" {
		d.socket = api.DefaultSocket
	}
	return d
}

// Flag adds the flag that says where iped listens.
func (d *Asker) Flag(fl *pflag.FlagSet) {
	fl.StringVar(&d.socket, "socket", d.socket, "`path` where iped listens; also IPE_SOCKET")
}

// Ask runs fn with a client of the daemon and gives what goes wrong its exit
// code.
func (d *Asker) Ask(cmd *cobra.Command, fn func(context.Context, *Client) error) error {
	c := client.New(d.socket)
	c.OnWait = d.sayWaiting
	defer c.Close()
	err := fn(cmd.Context(), c)
	if errors.Is(err, client.ErrUnreachable) {
		return ui.Exit(ui.ExitUnreachable, err, unreachableHint(err))
	}
	return err
}

func unreachableHint(err error) string {
	const look = "ipe status says what is in force as soon as iped answers"
	const restart = "systemctl status iped shows its state; systemctl restart iped replaces it, and the kernel goes on enforcing meanwhile"
	unknown := errors.Is(err, client.ErrUnknownOutcome)
	switch hung := errors.Is(err, client.ErrHung); {
	case hung && unknown:
		return look + "; " + restart
	case hung:
		return restart
	case unknown:
		return look
	}
	return "start it with systemctl start iped; if it listens elsewhere, say where with --socket"
}

// sayWaiting tells whoever waits what for.
func (d *Asker) sayWaiting(w client.Wait) {
	since := int(w.Since.Seconds())
	if w.Alive {
		d.Say("waiting", "iped is busy and has not answered for %d s", since)
		return
	}
	d.Say("waiting", "iped gives no sign of life for %d s, giving up after %d s", since, int(w.Most.Seconds()))
}

// Summary colours the honest word by what it means.
func (d *Asker) Summary(s string) string {
	st := ui.Yellow
	switch {
	case s == "enforcing":
		st = ui.Green
	case strings.HasPrefix(s, "NOT ENFORCING"):
		st = ui.Red
	}
	return d.Paint(st, plain.Text(s))
}
