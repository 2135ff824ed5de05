package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ipe-linux/ipe/internal/controlrpc"
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

// complain is how every error reaches standard error.
func (a *app) complain(err error) { a.complainWith(err, hintOf(err)) }

func (a *app) complainWith(err error, hint string) {
	text := plain.Error(err)
	if a.json {
		errno := errnoOf(err)
		text = strings.TrimSuffix(text, " ["+errno+"]")
		a.stderrJSON(complaint{Error: text, Errno: errno, Hint: plain.Text(hint)})
		return
	}
	fmt.Fprintf(a.stderr, "ipe: %s %s\n", a.paint(a.stderr, red, "error:"), text)
	a.hint(hint)
}

// hint prints what to do about an error that was printed; not as JSON, where it is
// part of the error.
func (a *app) hint(text string) {
	if text != "" && !a.json {
		fmt.Fprintf(a.stderr, "ipe: %s %s\n", a.paint(a.stderr, bold, "hint:"), plain.Text(text))
	}
}

// warnOf prints a warning about what stands at a place: a file, with or without a
// line; without a place, it is ipe's own.
func (a *app) warnOf(place, format string, args ...any) {
	text := plain.Text(fmt.Sprintf(format, args...))
	switch {
	case a.json && place != "":
		a.stderrJSON(notice{"warning": plain.Text(place) + ": " + text})
	case a.json:
		a.stderrJSON(notice{"warning": text})
	default:
		if place == "" {
			place = "ipe"
		}
		fmt.Fprintf(a.stderr, "%s: %s %s\n", plain.Text(place), a.paint(a.stderr, yellow, "warning:"), text)
	}
}

// say prints a notice. What veritysetup(8) says, too, has its form.
func (a *app) say(kind, format string, args ...any) {
	text := plain.Text(fmt.Sprintf(format, args...))
	switch {
	case a.json:
		a.stderrJSON(notice{kind: text})
	case kind == "trace":
		fmt.Fprintf(a.stderr, "# %s\n", text)
	case kind == "done":
		fmt.Fprintf(a.stderr, "%s\n", text)
	default:
		fmt.Fprintf(a.stderr, "ipe: %s %s\n", a.paint(a.stderr, yellow, kind+":"), text)
	}
}

// stderrJSON has no result: where an error cannot be told, nothing can.
func (a *app) stderrJSON(v any) { _ = writeJSON(a.stderr, v) }

// errnoOf returns the symbol of the number that an error has, "" if it has none.
func errnoOf(err error) string {
	var ee *exitError
	if errors.As(err, &ee) && ee.code == ExitUsage {
		return "EINVAL"
	}
	symbol, _ := controlrpc.KnownSymbol(err)
	return symbol
}

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
