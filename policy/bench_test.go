package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/policy"
)

// manyRules returns a policy of n rules as they look in practice: most of them
// name a digest.
func manyRules(n int) []byte {
	var b strings.Builder
	b.WriteString("# made by a build\n" + header + deny)
	for i := range n {
		switch i % 8 {
		case 0:
			b.WriteString("op=EXECUTE dmverity_signature=TRUE boot_verified=FALSE action=ALLOW\n")
		case 1:
			fmt.Fprintf(&b, "op=KMODULE dmverity_roothash=sha256:%064x action=ALLOW # volume %d\n", i, i)
		default:
			fmt.Fprintf(&b, "op=EXECUTE fsverity_digest=sha256:%064x action=ALLOW\n", i)
		}
	}
	return []byte(b.String())
}

func BenchmarkParse(b *testing.B) {
	for _, n := range []int{1, 100, 10000} {
		text := manyRules(n)
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := policy.Parse(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkParseLineEnds guards against ends of lines that cost more than others.
func BenchmarkParseLineEnds(b *testing.B) {
	for name, end := range map[string]string{"LF": "\n", "CR": "\r", "CRLF": "\r\n"} {
		text := []byte(header + deny + strings.Repeat(end, 1<<20))
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, err := policy.Parse(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkText(b *testing.B) {
	p := parse(b, string(manyRules(10000)))
	b.ReportAllocs()
	for b.Loop() {
		b.SetBytes(int64(len(p.Text())))
	}
}
