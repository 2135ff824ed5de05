package policy_test

import (
	"testing"

	"github.com/ipe-linux/ipe/conformance"
	"github.com/ipe-linux/ipe/policy"
)

// maxSeed leaves the huge texts out, which mutate slowly and to no use.
const maxSeed = 4096

// FuzzParse checks that each text is either refused in one class, at a position
// inside it, or survives printing.
func FuzzParse(f *testing.F) {
	for _, c := range conformance.ParseCases() {
		if len(c.Text) <= maxSeed {
			f.Add(c.Text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := policy.Parse(text)
		if err != nil {
			checkError(t, cutNUL(text), err)
			return
		}
		checkPrint(t, p)
	})
}

// FuzzParseVersion checks that a version reads back as it prints, and that a
// header takes and refuses the same versions.
func FuzzParseVersion(f *testing.F) {
	for _, s := range []string{"", "1.2.3", "+1.00.65535", "1..2", "1.2.3.x", "70000", "99999999999999999999x.0.0", "1 .0.0", "1.0.0\v"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := policy.ParseVersion(s)
		if err == nil {
			if again, err := policy.ParseVersion(v.String()); err != nil || again != v {
				t.Errorf("%q prints as %v, reads back as %v, %v", s, v, again, err)
			}
		}
		if !isToken(s) {
			return
		}
		p, inHeader := policy.Parse([]byte("policy_name=p policy_version=" + s + " # c\n" + deny))
		if symbol(err) != symbol(inHeader) {
			t.Errorf("%q alone: %v; in a header: %v", s, err, inHeader)
		}
		if err == nil && p.Version != v {
			t.Errorf("%q alone: %v; in a header: %v", s, v, p.Version)
		}
	})
}

// isToken reports whether s can stand whole at the end of a line.
func isToken(s string) bool {
	for _, c := range []byte(s) {
		switch c {
		case 0, ' ', '\t', '\n', '\v', '\f', '\r', '#', 0xA0:
			return false
		}
	}
	return true
}

// cutNUL returns the text up to its first NUL byte, which is all that counts.
func cutNUL(text []byte) []byte {
	for i, c := range text {
		if c == 0 {
			return text[:i]
		}
	}
	return text
}
