package lint_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/conformance"
	"github.com/ipe-linux/ipe/policy"
	"github.com/ipe-linux/ipe/policy/lint"
)

// maxSeed leaves the huge texts out, which mutate slowly and to no use.
const maxSeed = 4096

// FuzzCheck checks that each finding is about a line that there is, is of a kind that there
// is, and can be printed; and that the policy is what it was.
func FuzzCheck(f *testing.F) {
	for _, c := range conformance.ParseCases() {
		if len(c.Text) <= maxSeed {
			f.Add(c.Text)
		}
	}
	for _, text := range examples() {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := policy.Parse(text)
		if err != nil {
			return
		}
		before, last := p.String(), 0
		for _, found := range lint.Check(p) {
			whole := found.Line == 0
			ofRule := slices.ContainsFunc(p.Rules, func(r policy.Rule) bool { return r.Line == found.Line })
			if !whole && !ofRule || found.Line < last || found.Msg == "" || strings.ContainsAny(found.String(), "\n\r\x00\x1b") ||
				!slices.Contains(lint.Codes(), found.Code) || found.Severity != found.Code.Severity() {
				t.Errorf("%+v", found)
			}
			last = found.Line
		}
		if p.String() != before {
			t.Error("the policy was changed")
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	var text strings.Builder
	text.WriteString(header + deny)
	for i := range 10000 {
		fmt.Fprintf(&text, "op=EXECUTE fsverity_digest=sha256:%064x action=ALLOW\n", i)
	}
	p := parse(b, text.String())
	b.ReportAllocs()
	for b.Loop() {
		lint.Check(p)
	}
}
