// Package hint carries what to do about an error to whoever prints it, and has the names
// of those commands and options of ipe and iped that a remedy may be. What enforces and
// governs knows no command line: it points to a name here, and a test holds each of them
// against the commands that there are.
package hint

import "errors"

// Hinter is an error that knows a remedy.
type Hinter interface {
	error
	// Hint says what to do, "" if there is nothing.
	Hint() string
}

// Of returns the remedy of the first error in the tree of err that knows of remedies, ""
// if none does.
func Of(err error) string {
	if h, ok := errors.AsType[Hinter](err); ok {
		return h.Hint()
	}
	return ""
}

// All returns the remedies of all errors in the tree of err, in its order.
func All(err error) (all []string) {
	if h, ok := err.(Hinter); ok && h.Hint() != "" {
		all = append(all, h.Hint())
	}
	switch u := err.(type) {
	case interface{ Unwrap() error }:
		if next := u.Unwrap(); next != nil {
			all = append(all, All(next)...)
		}
	case interface{ Unwrap() []error }:
		for _, next := range u.Unwrap() {
			all = append(all, All(next)...)
		}
	}
	return all
}
