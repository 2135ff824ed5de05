package ui

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ipe-linux/ipe/internal/errno"
	"github.com/ipe-linux/ipe/internal/hint"
	"github.com/ipe-linux/ipe/internal/plain"
)

// complaint is an error as JSON: with --json, a line of standard error is one of
// these or a notice. Keys and their presence are an interface.
type complaint struct {
	Error string `json:"error"`
	// Errno is the symbol of the error's number, such as ENOENT; EINVAL for wrong
	// usage; empty if it has none.
	Errno string `json:"errno"`
	// Hint says what to do about it; may be empty.
	Hint string `json:"hint"`
}

// notice is what is no error and no result, as JSON: one text by its kind, "warning",
// "notice", "waiting", "trace" or "done".
type notice map[string]string

// Complain is how every error reaches standard error.
func (u *UI) Complain(err error) { u.complainWith(err, hint.Of(err)) }

func (u *UI) complainWith(err error, hint string) {
	text := plain.Error(err)
	if u.JSON {
		errno := u.errnoOf(err)
		text = strings.TrimSuffix(text, " ["+errno+"]")
		u.stderrJSON(complaint{Error: text, Errno: errno, Hint: plain.Text(hint)})
		return
	}
	fmt.Fprintf(u.stderr, "ipe: %s %s\n", u.paint(u.stderr, Red, "error:"), text)
	u.Hint(hint)
}

// Hint prints what to do about an error that was printed; not as JSON, where it is
// part of the error.
func (u *UI) Hint(text string) {
	if text != "" && !u.JSON {
		fmt.Fprintf(u.stderr, "ipe: %s %s\n", u.paint(u.stderr, Bold, "hint:"), plain.Text(text))
	}
}

// WarnOf prints a warning about what stands at a place: a file, with or without a
// line; without a place, it is ipe's own.
func (u *UI) WarnOf(place, format string, args ...any) {
	text := plain.Text(fmt.Sprintf(format, args...))
	switch {
	case u.JSON && place != "":
		u.stderrJSON(notice{"warning": plain.Text(place) + ": " + text})
	case u.JSON:
		u.stderrJSON(notice{"warning": text})
	default:
		if place == "" {
			place = "ipe"
		}
		fmt.Fprintf(u.stderr, "%s: %s %s\n", plain.Text(place), u.paint(u.stderr, Yellow, "warning:"), text)
	}
}

// Say prints a notice. What veritysetup(8) says, too, has its form.
func (u *UI) Say(kind, format string, args ...any) {
	text := plain.Text(fmt.Sprintf(format, args...))
	switch {
	case u.JSON:
		u.stderrJSON(notice{kind: text})
	case kind == "trace":
		fmt.Fprintf(u.stderr, "# %s\n", text)
	case kind == "done":
		fmt.Fprintf(u.stderr, "%s\n", text)
	default:
		fmt.Fprintf(u.stderr, "ipe: %s %s\n", u.paint(u.stderr, Yellow, kind+":"), text)
	}
}

// stderrJSON has no result: where an error cannot be told, nothing can.
func (u *UI) stderrJSON(v any) { _ = writeJSON(u.stderr, v) }

// errnoOf returns the symbol of the number that an error has, "" if it has none.
func (u *UI) errnoOf(err error) string {
	var ee *exitError
	if errors.As(err, &ee) && ee.code == ExitUsage {
		return "EINVAL"
	}
	symbol, _ := errno.KnownSymbol(err)
	return symbol
}

// Symbol returns the symbol of the kernel's number for an error, such as EBADMSG, and EIO
// for one without: for errors that are a result.
func Symbol(err error) string { return errno.Symbol(err) }

// wantsJSON reports whether a command line that could not be read to its end asks for
// JSON.
func wantsJSON(args []string) bool {
	for _, arg := range args {
		switch arg {
		case "--":
			return false
		case "--json", "--json=true":
			return true
		}
	}
	return false
}
