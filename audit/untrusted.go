package audit

import (
	"encoding/hex"
	"fmt"
)

// AppendUntrusted appends s as the kernel's audit_log_untrustedstring writes it:
// in double quotes, or in upper-case hex without quotes if it holds a quote, a
// blank or a byte outside printable ASCII.
func AppendUntrusted(dst []byte, s string) []byte {
	for i := range len(s) {
		if !plain(s[i]) {
			return appendHex(dst, []byte(s))
		}
	}
	return append(append(append(dst, '"'), s...), '"')
}

// ParseUntrusted reads back what AppendUntrusted wrote; hex digits may be of either
// case. The error is a *SyntaxError.
func ParseUntrusted(token string) (string, error) {
	s := scanner{line: token}
	value := s.untrusted()
	s.end()
	if err := s.failed(); err != nil {
		return "", fmt.Errorf("parse untrusted string: %w", err)
	}
	return value, nil
}

// plain reports whether c may stand between the quotes.
func plain(c byte) bool { return c > ' ' && c < 0x7f && c != '"' }

// untrusted consumes an untrusted string. What the kernel would not have put in
// quotes is refused there: it is damaged, or somebody else's.
func (s *scanner) untrusted() string {
	if !s.skip(`"`) {
		return s.hex()
	}
	from := s.pos
	for s.pos < len(s.line) && plain(s.line[s.pos]) {
		s.pos++
	}
	value := s.line[from:s.pos]
	s.lit(`"`)
	return value
}

// hex consumes digits, two of them at least, and returns what they stand for.
func (s *scanner) hex() string {
	from := s.pos
	raw := s.digits()
	if raw == "" {
		s.failAt(from, "want a string in quotes or in hex")
	}
	return raw
}

// digits consumes hex digits, perhaps none, and returns what they stand for.
func (s *scanner) digits() string {
	from := s.pos
	for s.pos < len(s.line) && isHex(s.line[s.pos]) {
		s.pos++
	}
	raw, err := hex.DecodeString(s.line[from:s.pos])
	if err != nil {
		s.failAt(s.pos, "want an even number of hex digits")
	}
	return string(raw)
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'F' || c >= 'a' && c <= 'f'
}
