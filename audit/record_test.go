package audit_test

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/policy"
)

// equal compares digests by value: cmp does not look into them.
var equal = cmp.Comparer(digest.Digest.Equal)

// source makes records of any values that a kernel could write.
type source struct{ *rand.Rand }

func (s source) flag() bool { return s.IntN(2) == 0 }

// bytes returns up to n bytes, mostly plain ones, none of them out of skip.
func (s source) bytes(n int, skip string) string {
	var b strings.Builder
	for range s.IntN(n + 1) {
		c := byte('!' + s.IntN('~'-'!'+1))
		if s.IntN(8) == 0 {
			c = byte(s.IntN(256))
		}
		if strings.IndexByte(skip, c) < 0 {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func (s source) subject() audit.Subject {
	if s.flag() {
		return audit.Nobody()
	}
	return audit.Subject{AUID: s.Uint32(), Session: s.Uint32()}
}

// notInNames are the bytes that the language lets into no name.
const notInNames = "\x00\t\n\r #"

func (s source) policyID() *audit.PolicyID {
	p := &audit.PolicyID{Name: "p" + s.bytes(20, notInNames)}
	p.Version = policy.Version{Major: uint16(s.Uint32()), Minor: uint16(s.IntN(3)), Rev: uint16(s.IntN(100))}
	for i := range p.Digest {
		p.Digest[i] = byte(s.Uint32())
	}
	return p
}

func (s source) statement() audit.Statement {
	st := audit.Statement{Scope: policy.Scope(s.IntN(3)), Action: policy.Action(1 + s.IntN(2))}
	if st.Scope != policy.ScopeGlobal {
		st.Op = policy.Ops()[s.IntN(len(policy.Ops()))]
	}
	for st.Scope == policy.ScopeRule && s.IntN(3) > 0 {
		p := policy.Property{Key: policy.AllKeys()[s.IntN(len(policy.AllKeys()))]}
		if p.Key.IsDigest() {
			p.Digest = digest.New(s.bytes(8, notInNames+":"), []byte(s.bytes(40, "")))
		} else {
			p.Value = s.flag()
		}
		st.Properties = append(st.Properties, p)
	}
	return st
}

func (s source) file() *audit.File {
	f := &audit.File{Path: "/" + s.bytes(60, "\x00")}
	switch s.IntN(4) {
	case 0:
		return nil
	case 1:
		f.NoInode = true
	default:
		f.Dev, f.Ino = s.bytes(31, "\x00"), s.Uint64()
	}
	return f
}

func (s source) record() audit.Record {
	switch s.IntN(4) {
	case 0:
		return audit.Access{
			Op: policy.Op(s.IntN(int(policy.OpUnknown) + 1)), Hook: eval.Hook(s.IntN(int(eval.HookKernelLoad) + 1)),
			Enforcing: s.flag(), PID: s.Uint32(), Comm: s.bytes(15, "\x00"), File: s.file(), Rule: s.statement(),
		}
	case 1:
		c := audit.ConfigChange{New: s.policyID(), Subject: s.subject()}
		if s.flag() {
			c.Old = s.policyID()
		}
		return c
	case 2:
		if s.flag() {
			return audit.PolicyLoad{Errno: uint16(1 + s.IntN(4095)), Subject: s.subject()}
		}
		return audit.PolicyLoad{Policy: s.policyID(), Subject: s.subject()}
	}
	return audit.Status{Enforcing: s.flag(), OldEnforcing: s.flag(), Subject: s.subject()}
}

func (s source) header() audit.Header {
	return audit.Header{Time: time.UnixMilli(s.Int64N(1e14)).UTC(), Serial: s.Uint64()}
}

// TestRoundTrip prints random records in every form and reads them back.
func TestRoundTrip(t *testing.T) {
	s := source{rand.New(rand.NewPCG(1, 2))}
	for range 4000 {
		h, r := s.header(), s.record()
		checkRead(t, r.String(), audit.Header{}, r)
		for _, g := range generations {
			if g.Records(r) {
				checkRead(t, string(g.AppendKernelLog(nil, h, r)), h, r)
				named := h
				named.Node, named.Enriched = "gw", `UID="root"`
				checkRead(t, string(g.AppendAuditLog(nil, named, r)), named, r)
			}
		}
		checkJSON(t, h, r)
		if t.Failed() {
			return
		}
	}
}

func checkRead(t *testing.T, line string, h audit.Header, want audit.Record) {
	t.Helper()
	gotH, got, err := audit.Parse(line)
	if err != nil || gotH != h {
		t.Errorf("%q: header %v, %v", line, gotH, err)
		return
	}
	if diff := cmp.Diff(want, got, equal); diff != "" {
		t.Errorf("%q (-want +got):\n%s", line, diff)
	}
}

func checkJSON(t *testing.T, h audit.Header, want audit.Record) {
	t.Helper()
	data, err := json.Marshal(audit.NewJSON(h, want))
	if err != nil {
		t.Fatalf("%v: %v", want, err)
	}
	var j audit.JSON
	if err := json.Unmarshal(data, &j); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	gotH, got, err := j.Record()
	if err != nil || gotH != h {
		t.Errorf("%s: header %v, %v; want %v", data, gotH, err, h)
		return
	}
	if diff := cmp.Diff(want, got, equal); diff != "" {
		t.Errorf("%s (-want +got):\n%s", data, diff)
	}
}

// TestNoPrefixReads cuts a record of each kind at every byte.
func TestNoPrefixReads(t *testing.T) {
	s := source{rand.New(rand.NewPCG(3, 4))}
	for range 40 {
		text := string(audit.Linux6_12.Append(nil, s.record()))
		typ := map[byte]audit.Type{'i': audit.TypeAccess, 'o': audit.TypeConfigChange, 'p': audit.TypePolicyLoad, 'e': audit.TypeStatus}[text[0]]
		for n := range text {
			r, err := audit.ParseText(typ, text[:n])
			want := audit.ErrTruncated
			if typ == audit.TypeStatus && errors.Is(err, audit.ErrNotIPE) {
				want = audit.ErrNotIPE // it cannot be told whose it is
			}
			if r != nil || !errors.Is(err, want) {
				t.Fatalf("%q: %v, %v", text[:n], r, err)
			}
		}
	}
}

func TestGenerationOf(t *testing.T) {
	for version, want := range map[[2]int]audit.Generation{
		{5, 19}: audit.Linux6_12, {6, 12}: audit.Linux6_12, {6, 15}: audit.Linux6_12, {6, 16}: audit.Linux6_16,
		{6, 17}: audit.Linux6_17, {6, 18}: audit.Linux6_17, {6, 19}: audit.Linux6_19, {7, 0}: audit.Linux6_19,
	} {
		if got := audit.GenerationOf(version[0], version[1]); got != want {
			t.Errorf("%v: %v, want %v", version, got, want)
		}
	}
}

func TestGenerations(t *testing.T) {
	failure := audit.PolicyLoad{Errno: 74}
	creds := audit.Access{Hook: eval.HookBprmCredsForExec}
	for _, tt := range []struct {
		g                         audit.Generation
		failures, unhashed, creds bool
	}{
		{audit.Linux6_12, false, true, false},
		{audit.Linux6_16, true, true, false},
		{audit.Linux6_17, true, false, false},
		{audit.Linux6_19, true, false, true},
	} {
		if tt.g.RecordsFailures() != tt.failures || tt.g.Records(failure) != tt.failures {
			t.Errorf("%v: failures are not as in the table", tt.g)
		}
		if tt.g.HasHook(creds.Hook) != tt.creds || tt.g.Records(creds) != tt.creds || !tt.g.HasHook(eval.HookMmap) {
			t.Errorf("%v: hooks are not as in the table", tt.g)
		}
		if tt.g.DigestMayBeMissing() != tt.unhashed || !tt.g.Records(audit.Status{}) {
			t.Errorf("%v: digests are not as in the table", tt.g)
		}
	}
}

func TestTypeNames(t *testing.T) {
	for typ, want := range map[audit.Type]string{
		audit.TypeStatus: "MAC_STATUS", audit.TypeAccess: "IPE_ACCESS", audit.TypeConfigChange: "IPE_CONFIG_CHANGE",
		audit.TypePolicyLoad: "IPE_POLICY_LOAD", 1300: "UNKNOWN[1300]",
	} {
		if got := typ.String(); got != want {
			t.Errorf("%d is %s, want %s", typ, got, want)
		}
	}
}

// TestUntrusted compares with what the kernel writes, for every byte.
func TestUntrusted(t *testing.T) {
	for c := range 256 {
		s := string([]byte{'a', byte(c)})
		quoted := c > ' ' && c <= '~' && c != '"'
		text := string(audit.AppendUntrusted(nil, s))
		if want := `"` + s + `"`; quoted && text != want || !quoted && strings.ContainsAny(text, `"`) {
			t.Errorf("byte %d: %s", c, text)
		}
		if got, err := audit.ParseUntrusted(text); err != nil || got != s {
			t.Errorf("%s reads as %q, %v", text, got, err)
		}
	}
	for text, want := range map[string]error{
		"": audit.ErrTruncated, `"a`: audit.ErrTruncated, "ABC": audit.ErrTruncated,
		`"a"b`: audit.ErrMalformed, `"a b"`: audit.ErrMalformed, "?": audit.ErrMalformed, "41 ": audit.ErrMalformed,
	} {
		if got, err := audit.ParseUntrusted(text); !errors.Is(err, want) || got != "" {
			t.Errorf("%q: %q, %v; want %v", text, got, err, want)
		}
	}
}

// TestStatements: the statements of a policy read in records as the kernel spells them.
func TestStatements(t *testing.T) {
	p, err := policy.Parse([]byte("policy_name=p policy_version=1.0.0\nDEFAULT action=DENY\nDEFAULT op=KMODULE action=ALLOW\n" +
		"op=EXECUTE dmverity_signature=FALSE  fsverity_digest=sha256:00ff action=DENY # c\nop=POLICY action=ALLOW\n"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for st := range p.Statements() {
		text := audit.Statement(st).String()
		got = append(got, text)
		back, err := audit.ParseStatement(text)
		if diff := cmp.Diff(audit.Statement(st), back, equal); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", text, err, diff)
		}
	}
	want := []string{
		"DEFAULT action=DENY", "DEFAULT op=KMODULE action=ALLOW",
		`op=EXECUTE dmverity_signature=FALSE fsverity_digest="sha256":00FF action=DENY`, "op=POLICY action=ALLOW",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestJSONRefuses(t *testing.T) {
	good := audit.NewJSON(audit.Header{}, audit.PolicyLoad{Policy: &audit.PolicyID{Name: "p"}})
	for name, change := range map[string]func(j *audit.JSON){
		"version":        func(j *audit.JSON) { j.Version = 2 },
		"type":           func(j *audit.JSON) { j.Type = 1300 },
		"other field":    func(j *audit.JSON) { j.Type = audit.TypeStatus },
		"policy version": func(j *audit.JSON) { j.PolicyLoad.Policy.Version = "1" },
		"digest":         func(j *audit.JSON) { j.PolicyLoad.Policy.Digest = "sha256:00" },
		"operation":      func(j *audit.JSON) { j.Type, j.Access = audit.TypeAccess, &audit.JSONAccess{Hook: "MMAP"} },
		"rule": func(j *audit.JSON) {
			j.Type, j.Access = audit.TypeAccess, &audit.JSONAccess{Hook: "MMAP", Op: "POLICY"}
		},
	} {
		j, id := good, *good.PolicyLoad.Policy
		j.PolicyLoad = &audit.JSONPolicyLoad{Policy: &id}
		change(&j)
		if h, r, err := j.Record(); !errors.Is(err, audit.ErrJSON) || r != nil || h != (audit.Header{}) {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
	var b audit.Bytes
	for _, text := range []string{"1", `{"hex": "0"}`, "[]"} {
		if err := json.Unmarshal([]byte(text), &b); err == nil {
			t.Errorf("%s reads as %q", text, b)
		}
	}
}

// TestEmptyStatus: the second record of a switch is a type and a time.
func TestEmptyStatus(t *testing.T) {
	h := audit.Header{Time: time.UnixMilli(1795453972191), Serial: 13}
	for _, g := range generations {
		if got, want := string(g.AppendKernelLog(nil, h, audit.EmptyStatus{})), "audit: type=1404 audit(1795453972.191:13): "; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if got, want := string(g.AppendNumberedAuditLog(nil, h, audit.EmptyStatus{})), "type=MAC_STATUS msg=audit(1795453972.191:13): "; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if !g.Records(audit.EmptyStatus{}) {
			t.Errorf("%v does not record it", g)
		}
	}
	gotH, r, err := audit.NewJSON(h, audit.EmptyStatus{}).Record()
	if err != nil || r != audit.Record(audit.EmptyStatus{}) || !gotH.Time.Equal(h.Time) {
		t.Errorf("by JSON: %v, %v, %v", gotH, r, err)
	}
}

func TestParseGeneration(t *testing.T) {
	for _, g := range generations {
		if got, err := audit.ParseGeneration(g.String()); err != nil || got != g {
			t.Errorf("%v: %v, %v", g, got, err)
		}
	}
	if _, err := audit.ParseGeneration("6.13"); !errors.Is(err, audit.ErrGeneration) {
		t.Errorf("6.13: %v", err)
	}
}

// TestNumberedAuditLog reads back as what it was made from.
func TestNumberedAuditLog(t *testing.T) {
	want := audit.PolicyLoad{Errno: 126}
	line := string(audit.Newest.AppendNumberedAuditLog(nil, audit.Header{Time: time.UnixMilli(1), Serial: 2, Node: "a"}, want))
	if !strings.HasPrefix(line, "node=a type=UNKNOWN[1422] msg=audit(0.001:2): policy_name=?") {
		t.Errorf("%q", line)
	}
	if h, r, err := audit.Parse(line); err != nil || r != audit.Record(want) || h.Node != "a" {
		t.Errorf("%v, %v, %v", h, r, err)
	}
}
