// Package cmdline reads module parameters from a kernel command line as the kernel
// does (kernel/params.c, lib/cmdline.c): quotes keep blanks together, dashes and
// underscores are the same in names, what follows a lone "--" is init's, and of
// several values the last that is valid counts.
package cmdline

import (
	"errors"
	"fmt"
	"iter"
	"strings"
)

// Param is a word of a command line.
type Param struct {
	Name string
	// Value is what follows the first equals sign; HasValue is false without one.
	Value    string
	HasValue bool
}

// ErrValue says that a value is not one that the parameter can have.
var ErrValue = errors.New("not a boolean value")

// Params yields the words of a command line that are the kernel's.
func Params(line string) iter.Seq[Param] {
	return func(yield func(Param) bool) {
		for line = skipBlanks(line); line != ""; {
			var p Param
			p, line = next(line)
			if p.Name == "--" && !p.HasValue || !yield(p) {
				return
			}
		}
	}
}

// next takes one word off. Quotes do not belong to it where they enclose the whole
// word or its value; elsewhere they stay.
func next(line string) (p Param, rest string) {
	whole := line[0] == '"'
	if whole {
		line = line[1:]
	}
	equals, end, inside := 0, 0, whole
	for ; end < len(line) && (inside || !isBlank(line[end])); end++ {
		switch {
		case line[end] == '"':
			inside = !inside
		case line[end] == '=' && equals == 0:
			equals = end
		}
	}
	word, rest := line[:end], skipBlanks(line[end:])
	if equals == 0 {
		if whole {
			word = strings.TrimSuffix(word, `"`)
		}
		return Param{Name: word}, rest
	}
	p = Param{Name: word[:equals], Value: word[equals+1:], HasValue: true}
	value, quoted := strings.CutPrefix(p.Value, `"`)
	if quoted || whole {
		value = strings.TrimSuffix(value, `"`)
	}
	p.Value = value
	return p, rest
}

// Bool returns the value of a boolean parameter, nil if it has none, and an error for
// each value that is not one, which changes nothing.
func Bool(line, name string) (value *bool, problems []error) {
	for p := range Params(line) {
		if !sameName(p.Name, name) {
			continue
		}
		on, ok := !p.HasValue, !p.HasValue
		if p.HasValue {
			on, ok = boolean(p.Value)
		}
		if !ok {
			problems = append(problems, fmt.Errorf("%s=%q: %w, ignored", p.Name, p.Value, ErrValue))
			continue
		}
		value = &on
	}
	return value, problems
}

// boolean knows the spellings of kstrtobool; only the first one or two bytes count.
func boolean(text string) (on, ok bool) {
	text += "\x00\x00"
	switch text[0] {
	case 'y', 'Y', 't', 'T', '1':
		return true, true
	case 'n', 'N', 'f', 'F', '0':
		return false, true
	case 'o', 'O':
		switch text[1] {
		case 'n', 'N':
			return true, true
		case 'f', 'F':
			return false, true
		}
	}
	return false, false
}

func sameName(a, b string) bool {
	dashes := strings.NewReplacer("-", "_")
	return dashes.Replace(a) == dashes.Replace(b)
}

// isBlank is the kernel's isspace, for which a no-break space of Latin-1 is one.
func isBlank(b byte) bool { return b == ' ' || b >= '\t' && b <= '\r' || b == 0xA0 }

func skipBlanks(s string) string {
	for s != "" && isBlank(s[0]) {
		s = s[1:]
	}
	return s
}
