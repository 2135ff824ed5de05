package ui

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// exitError is an error with an exit code and perhaps a hint.
type exitError struct {
	code int
	err  error
	hint string
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }
func (e *exitError) Hint() string  { return e.hint }

// ErrSaid marks a refusal whose reasons have been printed already.
var ErrSaid = errors.New("refused")

// Exit gives an error an exit code, and a hint unless that is empty.
func Exit(code int, err error, hint string) error {
	return &exitError{code: code, err: err, hint: hint}
}

// Usage returns an error of the command line itself.
func Usage(cmd *cobra.Command, format string, args ...any) error {
	return Exit(ExitUsage, fmt.Errorf(format, args...), fmt.Sprintf("see %s --help", cmd.CommandPath()))
}

// Hinted attaches a hint to an error.
func Hinted(err error, format string, args ...any) error {
	return Exit(ExitRefused, err, fmt.Sprintf(format, args...))
}

// flagError is what is said of flags that make no sense. The package of flags takes an -h
// that nobody has for help.
func flagError(cmd *cobra.Command, err error) error {
	if errors.Is(err, pflag.ErrHelp) {
		return Usage(cmd, "%s has no -h; help is --help", cmd.CommandPath())
	}
	return Usage(cmd, "%w", err)
}
