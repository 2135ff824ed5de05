package profile

import (
	"fmt"
	"strings"

	"github.com/ipe-linux/ipe/policy"
)

// Kinds of mistakes that policies lack. They stay, as those of policies.
const (
	codeBase      policy.Code = "base"      // neither strict nor compat
	codeRule      policy.Code = "rule"      // no such rule, or none that is on
	codeIdentity  policy.Code = "identity"  // nothing that names one executable
	codePath      policy.Code = "path"      // not absolute, not clean, too long
	codeDuplicate policy.Code = "duplicate" // an exception that there is already
	codeLimit     policy.Code = "limit"     // too long a text
)

// refuse returns an error that has no position yet.
func refuse(class error, code policy.Code, format string, args ...any) *policy.SyntaxError {
	return &policy.SyntaxError{Code: code, Msg: fmt.Sprintf(format, args...), Err: class}
}

// malformed is refuse for what is not of the language.
func malformed(code policy.Code, format string, args ...any) *policy.SyntaxError {
	return refuse(policy.ErrSyntax, code, format, args...)
}

// mended is malformed for a word that is likely meant to be another.
func mended(fix string, code policy.Code, what string) *policy.SyntaxError {
	err := malformed(code, "%s: write %s", what, fix)
	err.Fix = fix
	return err
}

// nearness is how many letters a word may be away from what was likely meant.
const nearness = 2

// near returns the word among some that another is likely meant to be, empty if there is
// none: they differ in case, in signs, or in few letters.
func near(text string, among []string) (nearest string) {
	same := strings.NewReplacer("_", "-", `"`, "", "'", "", ";", "", ",", "")
	text = strings.ToLower(same.Replace(text))
	least := nearness + 1
	for _, w := range among {
		if d := distance(text, same.Replace(w)); d < least && d < len(w)/2 {
			nearest, least = w, d
		}
	}
	return nearest
}

// distance is how many letters must be put in, left out or replaced. What is far longer is
// no word, and not compared.
func distance(a, b string) int {
	if len(a) > len(b)+nearness {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := before
			if a[i] != b[j] {
				replaced++
			}
			before = row[j+1]
			row[j+1] = min(replaced, before+1, row[j]+1)
		}
	}
	return row[len(b)]
}
