// Package plain prints names, errors and JSON so that they cannot command a terminal,
// and never take more than one line. Names of files, policies and processes come
// from elsewhere and may hold any byte.
//
// There is one form, that of strconv.Quote, which %q and log/slog have, too.
package plain

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Name returns a name as a person reads it and strconv.Unquote restores it: as it
// is if that is plain, otherwise in double quotes with escapes. Plain is what has at
// least one rune, only printable ones, no quote, no backslash, and no blank at
// either end. So what begins with a quote is quoted.
func Name(s string) string {
	if isPlain(s) {
		return s
	}
	return strconv.Quote(s)
}

// Names returns several names, each as Name does, with commas between them.
func Names(all []string) string {
	shown := make([]string, len(all))
	for i, s := range all {
		shown[i] = Name(s)
	}
	return strings.Join(shown, ", ")
}

func isPlain(s string) bool {
	if s == "" || s[0] == ' ' || s[len(s)-1] == ' ' {
		return false
	}
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == '"' || r == '\\' || !printable(r, size) {
			return false
		}
		i += size
	}
	return true
}

func printable(r rune, size int) bool {
	return strconv.IsPrint(r) && (r != utf8.RuneError || size > 1)
}

// Text returns a text that may hold names, some of them quoted already: what is not
// printable becomes an escape, everything else stays. It has no newline. Text of
// Text is the same.
func Text(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if printable(r, size) {
			b.WriteString(s[i : i+size])
		} else {
			quoted := strconv.Quote(s[i : i+size])
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		i += size
	}
	return b.String()
}

// Error returns the text of an error as Text does, paths in it as Name does.
// Errors that were joined, which have a newline between them, get a semicolon. It
// returns "" for nil.
func Error(err error) string {
	if err == nil {
		return ""
	}
	var b strings.Builder
	write(&b, err)
	return strings.TrimSpace(b.String())
}

// write writes an error piece by piece: only so a newline between joined errors can
// be told from one in a name.
func write(b *strings.Builder, err error) {
	if before, cause := ofPath(err); cause != nil {
		b.WriteString(before)
		write(b, cause)
		return
	}
	rest := err.Error()
	joined := false
	for _, cause := range causes(err) {
		text := cause.Error()
		before, after, found := strings.Cut(rest, text)
		if !found || text == "" {
			continue
		}
		if before == "\n" && joined {
			before = "; "
		}
		b.WriteString(Text(before))
		write(b, cause)
		rest, joined = after, true
	}
	b.WriteString(Text(rest))
}

// ofPath takes apart the errors of package os that name paths; the cause of others is
// nil.
func ofPath(err error) (before string, cause error) {
	switch e := err.(type) {
	case *fs.PathError:
		return Text(e.Op) + " " + Name(e.Path) + ": ", e.Err
	case *os.LinkError:
		return Text(e.Op) + " " + Name(e.Old) + " " + Name(e.New) + ": ", e.Err
	}
	return "", nil
}

// causes are the errors that err wraps, in order.
func causes(err error) []error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		return many.Unwrap()
	}
	if one := errors.Unwrap(err); one != nil {
		return []error{one}
	}
	return nil
}
