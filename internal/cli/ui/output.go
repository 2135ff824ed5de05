package ui

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"golang.org/x/term"

	"github.com/ipe-linux/ipe/internal/plain"
)

// Style is the parameter of an SGR escape.
type Style string

// What is bold, good, bad, doubtful, or beside the point.
const (
	Bold   Style = "1"
	Red    Style = "31"
	Green  Style = "32"
	Yellow Style = "33"
	Dim    Style = "2"
)

// Paint colours a part of a result if that goes to a terminal, unless the environment asks
// for no colour.
func (u *UI) Paint(st Style, s string) string { return u.paint(u.stdout, st, s) }

func (u *UI) paint(w io.Writer, st Style, s string) string {
	if u.getenv("NO_COLOR") != "" || u.getenv("TERM") == "dumb" || !isTerminal(w) {
		return s
	}
	return "\x1b[" + string(st) + "m" + s + "\x1b[0m"
}

// isTerminal reports whether a reader or writer is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// PrintJSON writes v as one line.
func (u *UI) PrintJSON(v any) error { return writeJSON(u.stdout, v) }

func writeJSON(w io.Writer, v any) error {
	line, err := plain.JSON(v)
	if err == nil {
		_, err = w.Write(line)
	}
	if err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

// Result prints v as JSON if asked to, otherwise the text.
func (u *UI) Result(v any, format string, args ...any) error {
	if u.JSON {
		return u.PrintJSON(v)
	}
	if _, err := fmt.Fprintf(u.stdout, format, args...); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

// Emit prints a result, byte for byte.
func (u *UI) Emit(b []byte) error {
	if _, err := u.stdout.Write(b); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

// EmitText prints a text that is not ipe's: byte for byte, but on a terminal without
// what would command it.
func (u *UI) EmitText(text []byte) error {
	if isTerminal(u.stdout) {
		lines := strings.Split(string(text), "\n")
		for i, l := range lines {
			lines[i] = Masked(strings.TrimSuffix(l, "\r"))
		}
		text = []byte(strings.Join(lines, "\n"))
	}
	return u.Emit(text)
}

// Masked is for lines of a source under which marks are put: each rune stays one. Who
// wants to know which it is reads the file.
func Masked(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}

// Count returns "1 rule" or "3 rules".
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
