// Package ui is how ipe talks: what all its commands read from and print to, and in which
// form.
//
// Results go to standard output and nothing else does. Errors are one line
// "ipe: error: …" on standard error, followed by "ipe: hint: …" where there is
// something to do about it. Every command that has a result knows --json; standard
// error is JSON then, too, a line each. Names are printed as package plain does.
package ui

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/hint"
)

// Exit codes of Main, an interface to scripts.
const (
	// ExitOK: done, or everything asked about is valid.
	ExitOK = 0
	// ExitRefused: refused, invalid or failed.
	ExitRefused = 1
	// ExitUsage: the command line makes no sense.
	ExitUsage = 2
	// ExitUnreachable: iped does not answer.
	ExitUnreachable = 3
	// ExitLockout: refused, since code that runs now would be denied.
	ExitLockout = 4
	// ExitUnproven: of status --check, a policy is active and its denials have not been
	// seen.
	ExitUnproven = 4
)

// UI is what commands share: three streams, the environment, and in which form to print.
type UI struct {
	// JSON is --json: results and errors are JSON.
	JSON bool
	// Version is that of the program.
	Version string

	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
}

// New returns a UI of these streams and this environment.
func New(stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string) *UI {
	return &UI{stdin: stdin, stdout: stdout, stderr: stderr, getenv: getenv}
}

// Main runs one command line, without the program's name, on the command tree that root
// builds, and returns the exit code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer, root func(*UI) *cobra.Command) int {
	u := New(stdin, stdout, stderr, os.Getenv)
	cmd := root(u)
	u.adopt(cmd)
	if len(args) > 0 && strings.HasPrefix(args[0], cobra.ShellCompRequestCmd) {
		bareUsage(cmd)
	}
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(context.Background())
	if err != nil && wantsJSON(args) {
		u.JSON = true // also if the flags before it made no sense
	}
	return u.exit(err)
}

// adopt lets a command tree talk as all of ipe does.
func (u *UI) adopt(root *cobra.Command) {
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetIn(u.stdin)
	root.SetOut(u.stdout)
	root.SetErr(u.stderr)
	root.SetFlagErrorFunc(flagError)
	root.PersistentFlags().BoolVar(&u.JSON, "json", false, "print results as JSON")
	shownFlags(root)
}

// exit prints what went wrong and returns its exit code.
func (u *UI) exit(err error) int {
	if err == nil {
		return ExitOK
	}
	code := ExitRefused
	var ee *exitError
	if errors.As(err, &ee) {
		code = ee.code
	}
	if errors.Is(err, ErrSaid) {
		u.Hint(hint.Of(err))
	} else {
		u.Complain(err)
	}
	return code
}

// Getenv returns the value of a variable of the environment.
func (u *UI) Getenv(name string) string { return u.getenv(name) }

// Stdout is where results go.
func (u *UI) Stdout() io.Writer { return u.stdout }
