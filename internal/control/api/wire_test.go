package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/policy"
)

var (
	someTime = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	someUser = uint32(1000)
	someRule = policy.Statement{
		Scope: policy.ScopeRule, Op: policy.OpExecute, Action: policy.Deny,
		Properties: []policy.Property{{Key: policy.DMVerityRoothash, Digest: digest.New("sha256", []byte{0, 0xff})}},
	}
	yes = true

	someInfo = api.Info{
		Name: "site", Version: "1.2.3", Active: true, Boot: true, SHA256: "00ff", Signers: []string{"CN=a <b>"}, Kept: true, Rules: 3, Error: "no",
	}
	someMode  = api.Mode{Enforce: true, SuccessAudit: true}
	someUsers = []api.UserCount{{UID: 1000, Count: 7}}
	someState = api.KernelState{
		HasPolicy: true, Generation: 4, Mode: someMode, Profile: "strict", Swapped: 8, UnknownTables: 9, Rules: []api.StrictRule{{Rule: "ptrace", Switch: "enforce", Monitored: 1, Refused: 2}}, Hooks: []string{"mmap_file"}, Missing: []string{"bprm_check_security"}, Deaf: "deaf",
		OtherBuild: true, Lost: 5, OverShare: 6, Silent: "silent", SignedRoots: 7, Adopted: true,
	}
	someTest = api.SelfTest{
		Time: someTime, Probes: []api.Probe{{Name: "exec-memfd", Want: "EACCES", Got: "ok", OK: true, Unclear: true}}, DenialSeen: true, Failed: true,
	}
	someProfile = api.Profile{
		Name: "site", Version: "1.2.3", Base: "strict", Exceptions: 2, SHA256: "00ff", Signers: []string{"CN=a <b>"}, Loaded: someTime, Overrides: "compat", Error: "no", InForce: true, Text: "profile_name=site",
	}
	someForecast = api.Forecast{
		Policy: "site", Version: "1.2.3", Files: 1, Processes: 2, Omitted: 3, Findings: []api.Finding{{
			Path: "/bin/sh", Memory: true, Device: "dm-0", Inode: 4, Roles: []string{"shell"},
			Processes: []api.Process{{PID: 8, Comm: "sh"}}, Users: 5, Rule: "DEFAULT action=DENY",
			Facts: api.Facts{BootVerified: true, DMVerityRoothash: "sha256:00", DMVeritySignature: true, FSVerityDigest: "sha256:01", FSVeritySignature: true},
		}},
	}
)

// onTheWire has a value of each type that travels, with everything in it.
var onTheWire = []any{
	api.Status{
		Summary: "enforcing", Enforcing: true, State: "enforcing", Reasons: []string{"why"}, Engine: "bpf", EngineReason: "asked for", Active: &someInfo,
		Mode: someMode, Kernel: someState, KernelSHA256: "00ff", Profile: &someProfile, SelfTest: &someTest,
		Capabilities: []api.Capability{{Name: "fsverity_digest", Available: true, Detail: "how"}}, Problems: []string{"disk: full"},
		Recorded: 1, Merged: 2, OverShare: 3, Refusals: 4, Users: someUsers, Missed: 5, Unnamed: 6,
		Sinks:   []api.SinkStatus{{Name: "file:/x", Written: 1, Lost: 2, ChangesLost: 3, Error: "full"}},
		Anchors: 7, Trust: api.Trust{Kind: "kernel", Certificates: 7},
	},
	someInfo,
	api.Record{
		Time: someTime, Action: "DENY", Op: "EXECUTE", Hook: "MMAP", Enforcing: true, PID: 9, Comm: "a\xff", Path: "/x\n\xfe<", Device: "dm-0", Inode: 4,
		Statement: &someRule, Policy: "site", Generation: 2, UID: &someUser, Merged: 3,
	},
	someForecast,
	api.Error{Errno: "ECANCELED", Message: "would be denied", Fix: "--force & <more>", Forecast: &someForecast},
	api.ModeResult{Mode: someMode, NotKept: "disk full"},
	api.ModeChange{Enforce: &yes, SuccessAudit: &yes},
	someMode,
	api.Reloaded{Certificates: 2},
	someProfile,
}

// TestWireForm: what travels keeps its bytes, full and empty.
func TestWireForm(t *testing.T) {
	var got bytes.Buffer
	for _, full := range onTheWire {
		for _, hole := range holes(reflect.ValueOf(full), fmt.Sprintf("%T", full)) {
			if hole != "api.Record.Strict" && hole != "api.Record.Killed" { // TestStrictForm
				t.Errorf("%s is empty in this test", hole)
			}
		}
		for _, v := range []any{full, reflect.Zero(reflect.TypeOf(full)).Interface()} {
			text, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&got, "%s %s\n", reflect.TypeOf(v).Name(), text)
		}
	}
	want, err := os.ReadFile("testdata/wire.golden")
	if err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got.String(), "\n")); diff != "" {
		t.Errorf("clients and logs of yesterday read this: -want +got\n%s", diff)
	}
}

// TestStrictForm: what a strict rule found is in none of the kernel's forms, and comes back
// as it was.
func TestStrictForm(t *testing.T) {
	found := api.Record{
		Time: someTime, Action: "DENY", Strict: "exec-stack", Killed: true, Enforcing: true, PID: 9, Comm: "a\xff", Path: "/x", Device: "dm-0", Inode: 4,
		UID: &someUser, Merged: 3,
	}
	const want = `{"version":1,"type":0,"name":"STRICT","time":"2026-01-02T03:04:05.000000006Z","uid":1000,"merged":3,` +
		`"strict":{"rule":"exec-stack","enforcing":true,"killed":true,"pid":9,"comm":{"hex":"61ff"},"file":{"path":"/x","dev":"dm-0","ino":4}}}`
	text, err := json.Marshal(found)
	if err != nil || string(text) != want {
		t.Errorf("%s, %v\nwant %s", text, err, want)
	}
	var again api.Record
	if err := json.Unmarshal(text, &again); err != nil || !reflect.DeepEqual(again, found) {
		t.Errorf("%+v, %v, want %+v", again, err, found)
	}
}

// holes names the fields below v that travel and are empty.
func holes(v reflect.Value, path string) (all []string) {
	switch {
	case v.IsZero():
		return []string{path}
	case v.Kind() == reflect.Pointer:
		return holes(v.Elem(), path)
	case v.Kind() == reflect.Slice:
		return holes(v.Index(0), path)
	case v.Kind() != reflect.Struct || v.Type() == reflect.TypeFor[time.Time]() || v.Type() == reflect.TypeFor[policy.Statement]():
		return nil
	}
	for i := range v.NumField() {
		if field := v.Type().Field(i); field.Tag.Get("json") != "-" {
			all = append(all, holes(v.Field(i), path+"."+field.Name)...)
		}
	}
	return all
}

// TestRecordOnTheWire: a record is that of package audit, and says if it stands for many.
func TestRecordOnTheWire(t *testing.T) {
	h := audit.Header{Time: someTime, Serial: 3}
	for merged, want := range map[uint64]string{0: "", 5: `,"merged":5`} {
		plain, err := json.Marshal(audit.NewJSON(h, audit.Status{Enforcing: true}))
		if err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(api.AuditRecord{JSON: audit.NewJSON(h, audit.Status{Enforcing: true}), Merged: merged})
		if err != nil {
			t.Fatal(err)
		}
		if all := strings.TrimSuffix(string(plain), "}") + want + "}"; string(got) != all {
			t.Errorf("%s, want %s", got, all)
		}
	}
}

// TestOneForm: a decision looks the same whether iped recorded it or a kernel, but for what
// only iped knows; and nothing of it is lost on the way.
func TestOneForm(t *testing.T) {
	rule, err := audit.ParseStatement(`op=EXECUTE boot_verified=TRUE dmverity_roothash="sha256":00ff action=DENY`)
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]*audit.File{"a file": {Path: "/bin/x\xff", Dev: "dm-0", Ino: 4}, "one without an inode": {Path: "/x", NoInode: true}, "none": nil} {
		kernels := audit.Access{Op: policy.OpExecute, Hook: eval.HookMmap, Enforcing: true, PID: 9, Comm: "x", File: f, Rule: rule}
		ours := api.Record{
			Time: someTime, Action: "DENY", Op: "EXECUTE", Hook: "MMAP", Enforcing: true, PID: 9, Comm: "x",
			Statement: (*policy.Statement)(&rule), Policy: "site", Generation: 2, UID: &someUser, Merged: 3,
		}
		if f != nil {
			ours.Path, ours.Device, ours.Inode = f.Path, f.Dev, f.Ino
		}
		want, err := json.Marshal(api.AuditRecord{JSON: audit.NewJSON(audit.Header{Time: someTime}, kernels)}.Tell(&ours))
		if err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(ours)
		if err != nil || string(got) != string(want) {
			t.Errorf("%s: %s, %v; want %s", name, got, err, want)
		}
		var back api.Record
		if err := json.Unmarshal(got, &back); err != nil || !reflect.DeepEqual(back, ours) {
			t.Errorf("%s: came back as %+v, %v; want %+v", name, back, err, ours)
		}
	}
	var r api.Record
	for _, other := range []string{`{}`, `{"version":2,"access":{}}`, `{"version":1,"status":{}}`} {
		if err := json.Unmarshal([]byte(other), &r); err == nil || !strings.Contains(err.Error(), "must be of one version") {
			t.Errorf("%s: %v", other, err)
		}
	}
}

// FuzzRecord: what a client takes for a decision is written as JSON that is the same.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"version":1,"access":{"comm":{"hex":"ff"},"file":{"path":"/bin/x","dev":"dm-0"},"op":"EXECUTE","hook":"MMAP"},"uid":7}`))
	f.Add([]byte(`{"version":1,"time":"2026-01-02T03:04:05Z","access":{"rule":"DEFAULT action=ALLOW","file":{"path":""}}}`))
	f.Add([]byte(`{"version":2,"access":{}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var r api.Record
		if json.Unmarshal(text, &r) != nil {
			return
		}
		first, err := json.Marshal(r)
		if err != nil {
			return // what no daemon has: an operation without a name, a year past 9999
		}
		var again api.Record
		if err := json.Unmarshal(first, &again); err != nil {
			t.Fatalf("%s became %s: %v", text, first, err)
		}
		if second, err := json.Marshal(again); err != nil || string(second) != string(first) {
			t.Errorf("%s became %s and then %s, %v", text, first, second, err)
		}
	})
}
