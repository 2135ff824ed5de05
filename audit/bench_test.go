package audit_test

import (
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/conformance"
)

// benchmarked are lines of a kernel by what makes them special.
var benchmarked = []string{"live/allow", "live/digest", "live/utf8", "live/update", "live/load", "live/permissive"}

func eachLine(b *testing.B, run func(b *testing.B, line string)) {
	for _, c := range conformance.AuditCases() {
		for _, id := range benchmarked {
			if c.ID == id {
				b.Run(strings.TrimPrefix(id, "live/"), func(b *testing.B) { run(b, string(c.Line)) })
			}
		}
	}
}

func BenchmarkParse(b *testing.B) {
	eachLine(b, func(b *testing.B, line string) {
		b.SetBytes(int64(len(line)))
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := audit.Parse(line); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	eachLine(b, func(b *testing.B, line string) {
		h, r, err := audit.Parse(line)
		if err != nil {
			b.Fatal(err)
		}
		var buf []byte
		b.ReportAllocs()
		for b.Loop() {
			buf = audit.Newest.AppendKernelLog(buf[:0], h, r)
		}
		b.SetBytes(int64(len(buf)))
	})
}

// BenchmarkParseOther is what a line costs that is none of IPE, most of a log.
func BenchmarkParseOther(b *testing.B) {
	const line = "Jul 22 06:26:40 gw sshd[812]: Accepted publickey for root from 192.0.2.7 port 22 ssh2"
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := audit.Parse(line); err == nil {
			b.Fatal("it is a record")
		}
	}
}
