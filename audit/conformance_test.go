package audit_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/conformance"
)

var generations = []audit.Generation{audit.Linux6_12, audit.Linux6_16, audit.Linux6_17, audit.Linux6_19}

// TestConformance reads the vectors, most of them lines of a running kernel.
func TestConformance(t *testing.T) {
	for _, c := range conformance.AuditCases() {
		t.Run(c.ID, func(t *testing.T) {
			h, r, err := audit.Parse(string(c.Line))
			if got := class(err); got != c.Want {
				t.Fatalf("%s: %s (%v), want %s", c.Why, got, err, c.Want)
			}
			if c.Want == "OK" {
				checkHeader(t, c, h)
				checkRecord(t, c, r)
				return
			}
			if se := (*audit.SyntaxError)(nil); errors.As(err, &se) && se.Offset != c.Offset {
				t.Errorf("%s: %v, want byte %d", c.Why, err, c.Offset)
			}
			if r != nil || h != (audit.Header{}) {
				t.Errorf("%v, %v beside an error", h, r)
			}
		})
	}
}

// class names the kind of an error as the vectors do.
func class(err error) string {
	for name, target := range map[string]error{
		"NOT_IPE": audit.ErrNotIPE, "MALFORMED": audit.ErrMalformed, "TRUNCATED": audit.ErrTruncated,
	} {
		if errors.Is(err, target) {
			return name
		}
	}
	if err != nil {
		return err.Error()
	}
	return "OK"
}

func checkHeader(t *testing.T, c conformance.AuditCase, h audit.Header) {
	t.Helper()
	stamp := ""
	if !h.Time.IsZero() {
		ms := h.Time.UnixMilli()
		stamp = fmt.Sprintf("%d.%03d", ms/1000, ms%1000)
	}
	if stamp != c.Time || h.Serial != c.Serial || h.Node != c.Node || h.Enriched != c.Enriched {
		t.Errorf("header %+v, want %q, %d, %q, %q", h, c.Time, c.Serial, c.Node, c.Enriched)
	}
}

func checkRecord(t *testing.T, c conformance.AuditCase, r audit.Record) {
	t.Helper()
	if int(r.Type()) != c.Type {
		t.Fatalf("type %d, want %d", r.Type(), c.Type)
	}
	if diff := cmp.Diff(c.Fields, fields(r)); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	// The line ends in the record's text, but for what auditd appends.
	line := string(c.Line)
	if c.Enriched != "" {
		line = strings.TrimSuffix(line, "\x1d"+c.Enriched)
	}
	for _, g := range generations {
		text := string(g.Append(nil, r))
		same := strings.HasSuffix(line, text) && g.Records(r)
		if want := slices.Contains(c.Generations, g.String()); same != want {
			t.Errorf("%v writes %q; that is the line: %v, want %v", g, text, same, want)
		}
	}
}

// fields gives a record the form of the vectors.
func fields(r audit.Record) map[string]string {
	f := map[string]string{}
	switch r := r.(type) {
	case audit.Access:
		f["ipe_op"], f["ipe_hook"], f["enforcing"] = r.Op.String(), r.Hook.String(), flag(r.Enforcing)
		f["pid"], f["comm"], f["rule"] = fmt.Sprint(r.PID), r.Comm, r.Rule.String()
		if r.File != nil {
			f["path"] = r.File.Path
		}
		if r.File != nil && !r.File.NoInode {
			f["dev"], f["ino"] = r.File.Dev, fmt.Sprint(r.File.Ino)
		}
	case audit.ConfigChange:
		addPolicy(f, r.Old, "old_active_pol_", "old_policy_")
		addPolicy(f, r.New, "new_active_pol_", "new_policy_")
		addSubject(f, r.Subject)
	case audit.PolicyLoad:
		addPolicy(f, r.Policy, "policy_", "policy_")
		addSubject(f, r.Subject)
		f["errno"] = fmt.Sprint(-int(r.Errno))
	case audit.Status:
		f["enforcing"], f["old_enforcing"] = flag(r.Enforcing), flag(r.OldEnforcing)
		addSubject(f, r.Subject)
	}
	return f
}

func flag(v bool) string { return map[bool]string{false: "0", true: "1"}[v] }

func addPolicy(f map[string]string, p *audit.PolicyID, prefix, digestPrefix string) {
	if p != nil {
		f[prefix+"name"], f[prefix+"version"] = p.Name, p.Version.String()
		f[digestPrefix+"digest"] = "sha256:" + strings.ToUpper(hex.EncodeToString(p.Digest[:]))
	}
}

func addSubject(f map[string]string, s audit.Subject) {
	f["auid"], f["ses"] = fmt.Sprint(s.AUID), fmt.Sprint(s.Session)
}

// TestLineEnds reads lines with the ends that files and serial consoles have.
func TestLineEnds(t *testing.T) {
	const line = "audit: type=1404 audit(1.002:3): enforcing=0 old_enforcing=1 auid=0 ses=1 enabled=1 old-enabled=1 lsm=ipe res=1"
	for _, end := range []string{"", "\n", "\r\n"} {
		_, r, err := audit.Parse(line + end)
		want := audit.Status{OldEnforcing: true, Subject: audit.Subject{Session: 1}}
		if err != nil || r != audit.Record(want) {
			t.Errorf("%q: %v, %v", end, r, err)
		}
	}
}

// TestParseMessage reads what the kernel hands over.
func TestParseMessage(t *testing.T) {
	for _, c := range conformance.AuditCases() {
		_, payload, ok := strings.Cut(string(c.Line), "audit: type="+fmt.Sprint(c.Type)+" ")
		if !ok || c.Want != "OK" {
			continue
		}
		wantH, want, wantErr := audit.Parse(string(c.Line))
		h, r, err := audit.ParseMessage(audit.Type(c.Type), payload)
		if err != nil || wantErr != nil || h != wantH {
			t.Errorf("%s: %v, %v, want %v, %v", c.ID, h, err, wantH, wantErr)
		}
		if diff := cmp.Diff(fields(want), fields(r)); diff != "" {
			t.Errorf("%s (-line +message):\n%s", c.ID, diff)
		}
	}
	_, _, err := audit.ParseMessage(audit.TypeStatus, "audit(1.000:2): ")
	if !errors.Is(err, audit.ErrNotIPE) {
		t.Errorf("the empty record: %v", err)
	}
	_, _, err = audit.ParseMessage(1300, "audit(1.000:2): arch=c000003e")
	if !errors.Is(err, audit.ErrNotIPE) {
		t.Errorf("a system call: %v", err)
	}
}
