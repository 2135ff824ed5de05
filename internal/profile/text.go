package profile

import (
	"strings"

	"github.com/ipe-linux/ipe/internal/strict"
)

// String is the word, as strict.
func (b Base) String() string {
	if b == Strict {
		return "strict"
	}
	return "compat"
}

// String is the exception as it stands in a profile, without a line end.
func (e Exception) String() string {
	if e.Rule == strict.None {
		return wordAnonExec + " " + e.Identity.String()
	}
	return wordRule + e.Rule.String() + " " + e.Identity.String() + " " + wordAction + e.Action.String()
}

// String is the identity as it stands in a profile.
func (i Identity) String() string {
	var words []string
	if !i.Root.IsZero() {
		words = append(words, keyRoot+"="+i.Root.String())
	}
	if i.Path != "" {
		words = append(words, wordPath+i.Path)
	}
	if !i.File.IsZero() {
		words = append(words, keyFile+"="+i.File.String())
	}
	return strings.Join(words, " ")
}

// Format returns src in the one form and with the same meaning: as policies are formatted,
// one space between words, none around lines, lower-case hex digits, LF ends, one empty
// line at most between others, and the words of an exception in one order. Comments stay,
// as do the order of lines and the spelling of the version. Formatting twice changes
// nothing more. The error is that of Parse.
func Format(src []byte) ([]byte, error) {
	p, err := Parse(src)
	if err != nil {
		return nil, err
	}
	exceptions := map[int]string{}
	for _, e := range p.Exceptions {
		exceptions[e.Line] = e.String()
	}
	var out []byte
	blank := false
	for l := range lines(string(src)) {
		text := l.format(exceptions[l.number])
		if text == "" {
			blank = len(out) > 0
			continue
		}
		if blank {
			out = append(out, '\n')
			blank = false
		}
		out = append(append(out, text...), '\n')
	}
	return out, nil
}

// format is the line in the one form; exception is what it says, empty if it says none.
func (l line) format(exception string) string {
	var words []string
	if exception != "" {
		words = append(words, exception)
	} else {
		for _, w := range l.words {
			words = append(words, w.text)
		}
	}
	if comment := strings.TrimRight(l.comment, blanks+"\v\f"); comment != "" {
		words = append(words, comment)
	}
	return strings.Join(words, " ")
}
