package texts

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/hint"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/policy"
	"github.com/ipe-linux/ipe/sign"
)

// maxMistakes bounds how many mistakes of a text are printed: a text with more is none
// that somebody is about to mend line by line. JSON has all.
const maxMistakes = 20

// mistakes are all that is wrong with a text that was refused with err; none if that is
// about something else. Of what is no text of the language at all, only the first says
// something.
func (r *Room) mistakes(text []byte, err error) []*policy.SyntaxError {
	var first *policy.SyntaxError
	if !errors.As(err, &first) {
		return nil
	}
	all := r.diagnose(text)
	if len(all) > 1 && (looksSigned(text) || r.other(text) != "") {
		all = all[:1]
	}
	return all
}

// DiagnoseAll prints all mistakes of a text that was refused with err, as compilers do.
func (r *Room) DiagnoseAll(file string, text []byte, err error) {
	all := r.mistakes(text, err)
	if len(all) == 0 {
		r.Diagnose(file, text, err)
		return
	}
	for _, e := range all[:min(len(all), maxMistakes)] {
		r.complain(file, text, e)
	}
	if more := len(all) - maxMistakes; more > 0 {
		r.Hint(fmt.Sprintf("%s has %s: --json shows all", plain.Name(file), ui.Count(more, "further mistake")))
	}
	r.Hint(r.otherwise(file, text))
}

// Diagnose prints an error as compilers do, with the line and a caret.
func (r *Room) Diagnose(file string, text []byte, err error) {
	r.complain(file, text, err)
	if errors.As(err, new(*policy.SyntaxError)) {
		r.Hint(r.otherwise(file, text))
	}
}

// complain prints an error, with the line and a caret if it is about a text.
func (r *Room) complain(file string, text []byte, err error) {
	var se *policy.SyntaxError
	isSyntax := errors.As(err, &se)
	place := plain.Name(file)
	if isSyntax && se.Line > 0 {
		place = fmt.Sprintf("%s:%d:%d", place, se.Line, se.Col)
	}
	switch {
	case r.JSON && isSyntax:
		r.Complain(fmt.Errorf("%s: %s%w", place, bare(se), silent{err}))
	case r.JSON:
		r.Complain(fmt.Errorf("%s: %w", place, err))
	case !isSyntax:
		r.ComplainOf(place, err)
	default:
		line, marks := lineOf(text, se.Line), ""
		if line != "" {
			line, marks = caret(line, se.Col, len(se.Token))
		}
		r.ComplainAt(place, bare(se)+" ["+ui.Symbol(se.Err)+"]", line, marks)
	}
}

// otherwise says what to do with a file that holds something else than a text of the
// language; empty if that is unknown.
func (r *Room) otherwise(file string, text []byte) string {
	switch other := r.other(text); {
	case file == "-":
		return ""
	case looksSigned(text):
		return signedHint(file, r.signed(text))
	case other != "":
		return fmt.Sprintf("%s is a %s: ipe %s check %s", plain.Name(file), other, other, hint.File(file))
	}
	return ""
}

// signed is the noun of what a message holds: that of the room if nothing else is known.
func (l language) signed(message []byte) string {
	e, err := sign.Inspect(message)
	if err == nil && l.other(e.Content) != "" {
		return l.other(e.Content)
	}
	return l.noun
}

// signedHint says how to look at a signed text.
func signedHint(file, noun string) string {
	command := "show"
	if noun != policies().noun {
		command = "verify --trust PATH" // there, show asks iped
	}
	return fmt.Sprintf("%s holds a signed %s: ipe %s %s %s", plain.Name(file), noun, noun, command, hint.File(file))
}

// bare is the message of a SyntaxError without its position.
func bare(se *policy.SyntaxError) string {
	e := *se
	e.Line, e.Col = 0, 0
	return e.Error()
}

// looksSigned reports whether text starts like a DER sequence of some length, or
// holds one as PEM.
func looksSigned(text []byte) bool {
	return bytes.HasPrefix(text, []byte{0x30, 0x82}) || bytes.HasPrefix(text, []byte{0x30, 0x80}) || isPEM(text)
}

// lineOf returns the n-th line, from 1, as an editor shows it. It is empty if there is none.
func lineOf(text []byte, n int) string {
	rest := string(text)
	for at := 1; n > 0; at++ {
		end := strings.IndexAny(rest, "\r\n")
		switch {
		case at == n && end < 0:
			return rest
		case at == n:
			return rest[:end]
		case end < 0:
			return ""
		case strings.HasPrefix(rest[end:], "\r\n"):
			end++
		}
		rest = rest[end+1:]
	}
	return ""
}

// maxBefore and maxAfter bound the bytes shown of a line before the marked token
// and from its start on.
const maxBefore, maxAfter = 80, 80

// caret returns a printable form of the line, cut around the token that starts
// at byte column col and is size bytes long, and the marks that go below it.
func caret(line string, col, size int) (src, marks string) {
	start := min(max(col-1, 0), len(line))
	end := min(start+max(size, 1), len(line))
	head, token, tail := line[:start], line[start:end], line[end:]
	if len(head) > maxBefore {
		head = "..." + head[len(head)-maxBefore:]
	}
	if len(token) > maxAfter {
		token, tail = token[:maxAfter], "..."
	} else if room := maxAfter - len(token); len(tail) > room {
		tail = tail[:room] + "..."
	}
	head, token = ui.Masked(head), ui.Masked(token)
	marks = blank(head) + "^" + strings.Repeat("~", max(utf8.RuneCountInString(token)-1, 0))
	return head + token + ui.Masked(tail), marks
}

// blank replaces everything but tabs by a space.
func blank(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, s)
}

// silent is an error whose text has been told already.
type silent struct{ error }

func (silent) Error() string   { return "" }
func (s silent) Unwrap() error { return s.error }
