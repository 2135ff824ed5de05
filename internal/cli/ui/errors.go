package ui

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ipe-linux/ipe/internal/plain"
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

// flagError is what is said of flags that make no sense, in the words of other errors. The
// package of flags takes an -h that nobody has for help.
func flagError(cmd *cobra.Command, err error) error {
	if errors.Is(err, pflag.ErrHelp) {
		return Usage(cmd, "%s has no -h; help is --help", cmd.CommandPath())
	}
	if bad, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return Usage(cmd, "--%s %s: %w", bad.GetFlag().Name, plain.Name(bad.GetValue()), valueError(bad))
	}
	if none, ok := errors.AsType[*pflag.NotExistError](err); ok {
		return Usage(cmd, "%s has no %s", cmd.CommandPath(), plain.Name(dashed(none.GetSpecifiedName(), none.GetSpecifiedShortnames())))
	}
	if bare, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		return Usage(cmd, "%s wants a value", dashed(bare.GetSpecifiedName(), bare.GetSpecifiedShortnames()))
	}
	return Usage(cmd, "%w", err)
}

// dashed is a flag as it was written, alone or among letters behind one dash.
func dashed(name, letters string) string {
	if letters != "" {
		return "-" + name
	}
	return "--" + name
}

// valueError is why a value was refused. Of switches the package of flags says it in the
// words of its decoder.
func valueError(bad *pflag.InvalidValueError) error {
	if bad.GetFlag().Value.Type() == "bool" {
		return errSwitch
	}
	return bad.Unwrap()
}

var errSwitch = errors.New("not true or false")
