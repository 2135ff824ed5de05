package audit_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/conformance"
)

// FuzzParse checks that each line is refused in one class, at a place inside it,
// or is a record that reads the same after it was printed in any form.
func FuzzParse(f *testing.F) {
	for _, c := range conformance.AuditCases() {
		f.Add(string(c.Line))
	}
	f.Fuzz(func(t *testing.T, line string) {
		h, r, err := audit.Parse(line)
		if err != nil {
			checkError(t, line, err)
			return
		}
		checkRead(t, r.String(), audit.Header{}, r)
		checkJSON(t, h, r)
		if h.Time.IsZero() {
			return // the text alone has no header to print
		}
		checkRead(t, string(audit.Newest.AppendAuditLog(nil, h, r)), h, r)
		bare := audit.Header{Time: h.Time, Serial: h.Serial}
		checkRead(t, string(audit.Newest.AppendKernelLog(nil, bare, r)), bare, r)
	})
}

func checkError(t *testing.T, line string, err error) {
	t.Helper()
	var se *audit.SyntaxError
	if errors.Is(err, audit.ErrNotIPE) == errors.As(err, &se) {
		t.Fatalf("%q: %v", line, err)
	}
	if se != nil && (se.Offset < 0 || se.Offset > len(line) || se.Msg == "") {
		t.Errorf("%q: %+v", line, se)
	}
	if se != nil && errors.Is(err, audit.ErrTruncated) == errors.Is(err, audit.ErrMalformed) {
		t.Errorf("%q: %v", line, err)
	}
}

// FuzzStatement checks that what reads as a statement prints and reads again.
func FuzzStatement(f *testing.F) {
	for _, c := range conformance.AuditCases() {
		if rule := c.Fields["rule"]; rule != "" {
			f.Add(rule)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		st, err := audit.ParseStatement(text)
		if err != nil {
			checkError(t, text, err)
			return
		}
		again, err := audit.ParseStatement(st.String())
		if diff := cmp.Diff(st, again, equal); err != nil || diff != "" {
			t.Errorf("%q: %v (-first +again):\n%s", text, err, diff)
		}
	})
}
