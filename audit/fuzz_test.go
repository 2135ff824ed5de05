package audit_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
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

// FuzzMessage: a record that the kernel hands over by netlink is that which the same text
// is in a log, and the text alone is the same record.
func FuzzMessage(f *testing.F) {
	for _, c := range conformance.AuditCases() {
		if _, payload, ok := strings.Cut(string(c.Line), "audit("); ok {
			f.Add(uint16(c.Type), "audit("+payload)
		}
	}
	f.Add(uint16(audit.TypeStatus), "audit(1.002:3): enforcing=1 old_enforcing=0 auid=0 ses=1 enabled=1 old-enabled=1 lsm=ipe res=1")
	f.Fuzz(func(t *testing.T, number uint16, payload string) {
		typ := audit.Type(number)
		h, r, err := audit.ParseMessage(typ, payload)
		if err != nil {
			checkError(t, payload, err)
			return
		}
		if r.Type() != typ {
			t.Fatalf("%q: type %v, want %v", payload, r.Type(), typ)
		}
		_, text, _ := strings.Cut(payload, "): ")
		if again, err := audit.ParseText(typ, text); err != nil || cmp.Diff(r, again, equal) != "" {
			t.Errorf("%q is %v, and its text %v, %v", payload, r, again, err)
		}
		if strings.ContainsAny(payload, "\r\n") {
			return // no line of a log
		}
		line := fmt.Sprintf("type=UNKNOWN[%d] msg=%s", number, payload)
		logged, again, err := audit.Parse(line)
		if err != nil || logged.Time != h.Time || logged.Serial != h.Serial || cmp.Diff(r, again, equal) != "" {
			t.Errorf("%q is %v, and in a log %v, %v", payload, r, again, err)
		}
	})
}

// FuzzUntrusted: a string is read back as it was, and what is read as a string is written
// as the same string.
func FuzzUntrusted(f *testing.F) {
	for _, s := range []string{"", "sh", `"sh"`, "736800", "a b", "\"", "\xff", "7G"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if s != "" {
			if got, err := audit.ParseUntrusted(string(audit.AppendUntrusted(nil, s))); err != nil || got != s {
				t.Errorf("%q came back as %q, %v", s, got, err)
			}
		}
		value, err := audit.ParseUntrusted(s)
		if err != nil {
			checkError(t, s, err)
			return
		}
		written := string(audit.AppendUntrusted(nil, value))
		if again, err := audit.ParseUntrusted(written); value != "" && (err != nil || again != value) {
			t.Errorf("%q is %q, written as %q, which is %q, %v", s, value, written, again, err)
		}
	})
}

// FuzzJSON: what is taken for a record is written as JSON that is the same record.
func FuzzJSON(f *testing.F) {
	for _, c := range conformance.AuditCases() {
		if h, r, err := audit.Parse(string(c.Line)); err == nil {
			text, err := json.Marshal(audit.NewJSON(h, r))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Add([]byte(`{"version":1,"type":1404,"name":"","empty":true,"node":{"hex":"ff"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var j audit.JSON
		if json.Unmarshal(text, &j) != nil {
			return
		}
		h, r, err := j.Record()
		if err != nil {
			if !errors.Is(err, audit.ErrJSON) {
				t.Errorf("%s: %v", text, err)
			}
			return
		}
		again, err := json.Marshal(audit.NewJSON(h, r))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		var back audit.JSON
		if err := json.Unmarshal(again, &back); err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		gotH, got, err := back.Record()
		if err != nil || !gotH.Time.Equal(h.Time) || gotH.Serial != h.Serial || gotH.Node != h.Node || gotH.Enriched != h.Enriched || cmp.Diff(r, got, equal) != "" {
			t.Errorf("%s is %v, written as %s, which is %v, %v", text, r, again, got, err)
		}
	})
}
