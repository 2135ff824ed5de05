// Package cli is the ipe command: one file a subcommand, each working on the
// readers and writers it is given.
//
// Results go to standard output and nothing else does. Errors are one line
// "ipe: error: …" on standard error, followed by "ipe: hint: …" where there is
// something to do about it. Every command that has a result knows --json; standard
// error is JSON then, too, a line each. Names are printed as package plain does.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
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

// app is what subcommands share.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	json           bool
	verbose, debug bool // of dmverity
	socket         string
}

// Main runs one command line, without the program's name, and returns the exit
// code. It reads the environment variables NO_COLOR, TERM, IPE_SOCKET,
// IPE_KEY_PASSPHRASE, IPE_PIN and PKCS11_MODULE_PATH.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, getenv: os.Getenv}
	root := a.root()
	root.SetArgs(args)
	err := root.ExecuteContext(context.Background())
	if err != nil && wantsJSON(args) {
		a.json = true // also if the flags before it made no sense
	}
	return a.exit(err)
}

// exit prints what went wrong and returns its exit code.
func (a *app) exit(err error) int {
	if err == nil {
		return ExitOK
	}
	code := ExitRefused
	var ee *exitError
	if errors.As(err, &ee) {
		code = ee.code
	}
	if errors.Is(err, errSaid) {
		a.hint(hintOf(err))
	} else {
		a.complain(err)
	}
	return code
}

// exitError is an error with an exit code and perhaps a hint.
type exitError struct {
	code int
	err  error
	hint string
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }
func (e *exitError) Hint() string  { return e.hint }

// errSaid marks a refusal whose reasons have been printed already.
var errSaid = errors.New("refused")

// usage returns an error of the command line itself.
func usage(cmd *cobra.Command, format string, args ...any) error {
	return &exitError{code: ExitUsage, err: fmt.Errorf(format, args...),
		hint: fmt.Sprintf("see %s --help", cmd.CommandPath())}
}

// hinted attaches a hint to an error.
func hinted(err error, format string, args ...any) error {
	return &exitError{code: ExitRefused, err: err, hint: fmt.Sprintf(format, args...)}
}

// hintOf returns the hint that the error or one of its causes carries.
func hintOf(err error) string {
	var h interface {
		error
		Hint() string
	}
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}
