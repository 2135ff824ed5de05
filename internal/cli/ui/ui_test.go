package ui_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/errno"
)

// tree is a command tree that answers as its arguments ask it to.
func tree(u *ui.UI) *cobra.Command {
	root := u.Group("demo", "A demonstration", "", nil)
	group := u.Group("thing", "About things", "", map[string]string{"lose": "demo thing drop"})
	drop := &cobra.Command{
		Use: "drop NAME", Args: ui.Exactly(1, "one NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch args[0] {
			case "bad":
				return ui.Hinted(errno.New(unix.ENOENT, "bad\x1b[2J\nthing"), "take another")
			case "odd":
				return ui.Usage(cmd, "odd thing")
			case "said":
				return ui.Exit(ui.ExitLockout, ui.ErrSaid, "as it was said")
			}
			return u.Result(map[string]string{"dropped": args[0]}, "dropped %s\n", args[0])
		},
	}
	group.AddCommand(drop)
	root.AddCommand(group)
	return root
}

// TestForms: results, errors and hints have their streams, forms and exit codes.
func TestForms(t *testing.T) {
	for _, tt := range []struct {
		line           string
		code           int
		stdout, stderr string
	}{
		{"thing drop a", ui.ExitOK, "dropped a\n", ""},
		{"thing drop a --json", ui.ExitOK, `{"dropped":"a"}` + "\n", ""},
		{"thing drop bad", ui.ExitRefused, "", "ipe: error: bad\\x1b[2J\\nthing\nipe: hint: take another\n"},
		{"thing drop bad --json", ui.ExitRefused, "", `{"error":"bad\\x1b[2J\\nthing","errno":"ENOENT","hint":"take another"}` + "\n"},
		{"thing drop odd", ui.ExitUsage, "", "ipe: error: odd thing\nipe: hint: see demo thing drop --help\n"},
		{"thing drop said", ui.ExitLockout, "", "ipe: hint: as it was said\n"},
		{"thing drop said --json", ui.ExitLockout, "", ""},
		{"thing drop", ui.ExitUsage, "", "ipe: error: demo thing drop wants one NAME, got 0 arguments\nipe: hint: see demo thing drop --help\n"},
		{"thing dorp", ui.ExitUsage, "", "ipe: error: demo thing: no command dorp\nipe: hint: did you mean demo thing drop?\n"},
		{"thing lose", ui.ExitUsage, "", "ipe: error: demo thing: no command lose\nipe: hint: demo thing drop\n"},
		{"thing undrop", ui.ExitUsage, "", "ipe: error: demo thing: no command undrop\nipe: hint: see demo thing --help\n"},
		{"--frob --json", ui.ExitUsage, "", `{"error":"demo has no --frob","errno":"EINVAL","hint":"see demo --help"}` + "\n"},
	} {
		var stdout, stderr bytes.Buffer
		code := ui.Main(strings.Fields(tt.line), &bytes.Buffer{}, &stdout, &stderr, tree)
		if code != tt.code || stdout.String() != tt.stdout || stderr.String() != tt.stderr {
			t.Errorf("demo %s: %d, %q, %q\nwant %d, %q, %q", tt.line, code, &stdout, &stderr, tt.code, tt.stdout, tt.stderr)
		}
	}
}

// TestComplaints: a hint is printed once, and with each error as JSON.
func TestComplaints(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		var stderr bytes.Buffer
		u := ui.New(&bytes.Buffer{}, &bytes.Buffer{}, &stderr, func(string) string { return "" })
		u.JSON = asJSON
		c := u.Complaints(nil)
		for n := range 3 {
			c.Add(ui.Hinted(fmt.Errorf("file %d", n), "look at it"))
		}
		want := map[bool]int{false: 1, true: 3}[asJSON]
		if hints := strings.Count(stderr.String(), "look at it"); c.N != 3 || hints != want {
			t.Errorf("JSON %v: %d complaints, %d hints, want 3 and %d", asJSON, c.N, hints, want)
		}
	}
}

// TestBuffer: what was printed is there at the end, and an error that was said is no reason
// to hide that it is not.
func TestBuffer(t *testing.T) {
	for _, tt := range []struct{ before, want error }{{nil, errFull}, {ui.ErrSaid, errFull}, {errOther, errOther}} {
		u := ui.New(&bytes.Buffer{}, full{}, &bytes.Buffer{}, func(string) string { return "" })
		end := u.Buffer()
		if err := u.Emit([]byte("text")); err != nil {
			t.Error(err)
		}
		err := tt.before
		if end(&err); !errors.Is(err, tt.want) {
			t.Errorf("after %v: %v, want %v", tt.before, err, tt.want)
		}
	}
}

var (
	errFull  = errors.New("it is full")
	errOther = errors.New("it was bad")
)

// full is where nothing can be written.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }
