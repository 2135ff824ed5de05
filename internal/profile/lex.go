package profile

import (
	"iter"
	"strings"
)

// line is one line of a text, taken apart.
type line struct {
	number int
	words  []word
	// comment begins with #; empty without.
	comment string
	// glued: no blank stands between the last word and the comment.
	glued bool
}

// word is a stretch of a line without blanks.
type word struct {
	text string
	col  int // in bytes, from 1
}

// lines yields all lines. LF, CR and CRLF each end one, as in policies.
func lines(text string) iter.Seq[line] {
	return func(yield func(line) bool) {
		for n, more := 1, true; more; n++ {
			var raw string
			raw, text, more = cutLine(text)
			if !yield(split(n, raw)) {
				return
			}
		}
	}
}

// cutLine divides a text behind its first line; more is false if nothing ends it.
func cutLine(text string) (raw, rest string, more bool) {
	i := strings.IndexAny(text, "\r\n")
	if i < 0 {
		return text, "", false
	}
	raw, rest = text[:i], text[i+1:]
	if text[i] == '\r' {
		rest = strings.TrimPrefix(rest, "\n")
	}
	return raw, rest, true
}

const blanks = " \t"

// split takes a line apart.
func split(number int, raw string) line {
	l := line{number: number}
	if i := strings.IndexByte(raw, '#'); i >= 0 {
		raw, l.comment = raw[:i], raw[i:]
		l.glued = i > 0 && !strings.ContainsRune(blanks, rune(raw[i-1]))
	}
	for at := 0; at < len(raw); {
		n := strings.IndexAny(raw[at:], blanks)
		if n < 0 {
			n = len(raw) - at
		}
		if n > 0 {
			l.words = append(l.words, word{raw[at : at+n], at + 1})
		}
		at += n + 1
	}
	return l
}

// last is the last word; there is one.
func (l line) last() word { return l.words[len(l.words)-1] }

// The words of the language.
const (
	wordName     = "profile_name="
	wordVersion  = "profile_version="
	wordBase     = "base="
	wordRule     = "rule="
	wordAction   = "action="
	wordPath     = "path="
	wordAnonExec = "anon_exec"
)
