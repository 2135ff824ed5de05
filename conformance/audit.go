package conformance

import (
	"bytes"
	_ "embed"
	"encoding/json"
)

//go:embed audit.jsonl
var auditData []byte

// AuditCase is a line of a log and what it says. Those whose ID begins with "live/"
// were written by a kernel, 6.12.117; the others are invented.
type AuditCase struct {
	ID  string
	Why string
	// Line is a line of the kernel log, of auditd's log, or the text of a record.
	Line []byte
	// Want is OK for a record, NOT_IPE for a line that is none of IPE, MALFORMED or
	// TRUNCATED for one that cannot be read from the byte Offset on, which counts
	// from 0.
	Want   string
	Offset int
	// Type is the record's number. Time ("SECONDS.MILLIS") and Serial are empty
	// where the line has none, as are Node and Enriched, which auditd adds.
	Type           int
	Time           string
	Serial         uint64
	Node, Enriched string
	// Generations are the kernels, each the first of its kind, that write the text
	// byte for byte. Texts that are only read have none.
	Generations []string
	// Fields are the record's, by their names there, each character a byte, without
	// quotes and escapes; those that are unknown ("?") or left out are absent. The
	// rule is as written. A load without an errno counts as "errno": "0". What
	// never changes (lsm, res, enabled) is not listed.
	Fields map[string]string
}

// AuditCases returns the cases of records.
func AuditCases() []AuditCase {
	var cases []AuditCase
	for line := range bytes.Lines(auditData) {
		cases = append(cases, readAuditCase(line))
	}
	return cases
}

func readAuditCase(line []byte) AuditCase {
	var raw struct {
		AuditCase
		Line string
	}
	if err := json.Unmarshal(line, &raw); err != nil {
		return AuditCase{ID: unreadable(err), Want: unreadable(err)}
	}
	c := raw.AuditCase
	c.Line = latin1(raw.Line)
	c.Node, c.Enriched = string(latin1(c.Node)), string(latin1(c.Enriched))
	for key, value := range c.Fields {
		c.Fields[key] = string(latin1(value))
	}
	return c
}

// latin1 turns stored text into the bytes that it stands for.
func latin1(text string) []byte { return (&rawCase{}).bytes(text) }
