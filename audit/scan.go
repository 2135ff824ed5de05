package audit

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/ipe-linux/ipe/policy"
)

// scanner walks along a line. Its first failure stays, and what it returns from
// then on has no meaning.
type scanner struct {
	line  string
	pos   int
	start int // where the record's text begins
	err   *SyntaxError
}

// failed returns the first failure as an error.
func (s *scanner) failed() error {
	if s.err == nil {
		return nil
	}
	return s.err
}

// failAt reports a failure; at the end of the line it is that the line ends there.
func (s *scanner) failAt(pos int, format string, args ...any) {
	if s.err != nil {
		return
	}
	s.err = &SyntaxError{Offset: pos, Msg: fmt.Sprintf(format, args...), Err: ErrMalformed}
	if pos == len(s.line) {
		s.err.Err = ErrTruncated
	}
}

// missing reports that what was wanted does not stand at pos.
func (s *scanner) missing(pos int, what string) {
	if s.pos == len(s.line) {
		pos = s.pos
	}
	s.failAt(pos, "want %s", what)
}

// rest is what has not been consumed.
func (s *scanner) rest() string { return s.line[s.pos:] }

// at reports whether text comes next.
func (s *scanner) at(text string) bool { return strings.HasPrefix(s.rest(), text) }

// skip consumes text if it comes next. A line that ends inside text was cut there.
func (s *scanner) skip(text string) bool {
	switch {
	case s.err != nil:
		return false
	case s.at(text):
		s.pos += len(text)
		return true
	case s.pos < len(s.line) && strings.HasPrefix(text, s.rest()):
		s.failAt(len(s.line), "want %q", text)
	}
	return false
}

// lit consumes text, which must come next.
func (s *scanner) lit(text string) {
	if !s.skip(text) {
		s.failAt(s.pos, "want %q", text)
	}
}

// key consumes a key that begins a record, or follows a part of it and a blank. A
// text that begins with the blank has lost the part before it.
func (s *scanner) key(name string) bool {
	if s.pos > s.start {
		return s.skip(" " + name)
	}
	return s.skip(name) || s.skip(" "+name)
}

// word consumes everything up to a blank, a quote, auditd's separator or the end.
func (s *scanner) word() string {
	n := strings.IndexAny(s.rest(), " \"\x1d")
	return s.take(n)
}

// wordTo is word, ended by c as well.
func (s *scanner) wordTo(c byte) string {
	word := s.word()
	if i := strings.IndexByte(word, c); i >= 0 {
		s.pos -= len(word) - i
		word = word[:i]
	}
	return word
}

// take consumes n bytes, all of them if n is negative.
func (s *scanner) take(n int) string {
	if s.err != nil {
		return ""
	}
	if n < 0 {
		n = len(s.rest())
	}
	s.pos += n
	return s.line[s.pos-n : s.pos]
}

// number consumes a decimal number of so many bits.
func (s *scanner) number(bits int) uint64 {
	from := s.pos
	for s.pos < len(s.line) && s.line[s.pos] >= '0' && s.line[s.pos] <= '9' {
		s.pos++
	}
	n, err := strconv.ParseUint(s.line[from:s.pos], 10, bits)
	if err != nil {
		s.failAt(from, "want a number of %d bits", bits)
	}
	return n
}

// flag consumes 0 or 1.
func (s *scanner) flag() bool {
	if s.skip("1") {
		return true
	}
	s.lit("0")
	return false
}

// parsed consumes a word that parse knows.
func parsed[T any](s *scanner, word func() string, what string, parse func(string) (T, error)) T {
	from := s.pos
	v, err := parse(word())
	if err != nil {
		s.missing(from, what)
	}
	return v
}

// recordedOp reads an operation as records have it, among them that which no policy can
// name.
func recordedOp(text string) (policy.Op, error) {
	if text == policy.OpUnknown.String() {
		return policy.OpUnknown, nil
	}
	return policy.ParseOp(text)
}

// end wants the end of the line.
func (s *scanner) end() {
	if s.pos < len(s.line) {
		s.failAt(s.pos, "want the end of the record")
	}
}
