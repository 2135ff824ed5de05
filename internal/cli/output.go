package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/ipe-linux/ipe/internal/plain"
)

// style is the parameter of an SGR escape.
type style string

const (
	bold   style = "1"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
	dim    style = "2"
)

// paint colours s if w is a terminal and nobody asked for no colour.
func (a *app) paint(w io.Writer, st style, s string) string {
	if a.getenv("NO_COLOR") != "" || a.getenv("TERM") == "dumb" || !isTerminal(w) {
		return s
	}
	return "\x1b[" + string(st) + "m" + s + "\x1b[0m"
}

// isTerminal reports whether a reader or writer is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// printJSON writes v as one line.
func (a *app) printJSON(v any) error { return writeJSON(a.stdout, v) }

func writeJSON(w io.Writer, v any) error {
	var line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	if err == nil {
		_, err = w.Write(escapeJSON(line.Bytes()))
	}
	if err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

// escapeJSON escapes what is not printable beyond ASCII, which encoding/json leaves: U+009B
// is a terminal's escape, too. The values stay the same.
func escapeJSON(line []byte) []byte {
	if !bytes.ContainsFunc(line, func(r rune) bool { return r >= 0x7f && !strconv.IsPrint(r) }) {
		return line
	}
	out := make([]byte, 0, 2*len(line))
	for _, r := range string(line) {
		switch {
		case r < 0x7f || strconv.IsPrint(r):
			out = utf8.AppendRune(out, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}

// result prints v as JSON if asked to, otherwise the text.
func (a *app) result(v any, format string, args ...any) error {
	if a.json {
		return a.printJSON(v)
	}
	if _, err := fmt.Fprintf(a.stdout, format, args...); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

// printable is a name as a person reads it.
func printable(s string) string { return plain.Name(s) }

// names are several of them.
func names(all []string) string {
	var shown []string
	for _, s := range all {
		shown = append(shown, printable(s))
	}
	return strings.Join(shown, " ")
}

// emitText prints a text that is not ipe's: byte for byte, but on a terminal without
// what would command it.
func (a *app) emitText(text []byte) error {
	if isTerminal(a.stdout) {
		lines := strings.Split(string(text), "\n")
		for i, l := range lines {
			lines[i] = masked(strings.TrimSuffix(l, "\r"))
		}
		text = []byte(strings.Join(lines, "\n"))
	}
	return a.emit(text)
}

// masked is for lines of a source under which marks are put: each rune stays one. Who
// wants to know which it is reads the file.
func masked(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}
