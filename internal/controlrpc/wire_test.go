package controlrpc_test

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
	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/controlrpc"
	"github.com/ipe-linux/ipe/internal/engine"
)

var (
	someTime = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	someUser = uint32(1000)
	yes      = true

	someInfo = control.Info{
		Name: "site", Version: "1.2.3", Active: true, Boot: true, SHA256: "00ff", Signers: []string{"CN=a <b>"}, Kept: true, Rules: 3, Error: "no",
	}
	someMode  = engine.Mode{Enforce: true, SuccessAudit: true}
	someUsers = []engine.UserCount{{UID: 1000, Count: 7}}
	someState = engine.State{
		HasPolicy: true, Generation: 4, Mode: someMode, Hooks: []string{"mmap_file"}, Missing: []string{"bprm_check_security"}, Deaf: "deaf",
		OtherBuild: true, Lost: 5, OverShare: 6, Silent: "silent", SignedRoots: 7, Adopted: true,
	}
	someTest = engine.SelfTest{
		Time: someTime, Probes: []engine.Probe{{Name: "exec-memfd", Want: "EACCES", Got: "ok", OK: true, Unclear: true}}, DenialSeen: true, Failed: true,
	}
	someForecast = control.Forecast{
		Policy: "site", Version: "1.2.3", Files: 1, Processes: 2, Omitted: 3, Findings: []control.Finding{{
			Path: "/bin/sh", Memory: true, Device: "dm-0", Inode: 4, Roles: []string{"shell"},
			Processes: []control.Process{{PID: 8, Comm: "sh"}}, Users: 5, Rule: "DEFAULT action=DENY",
			Facts: control.Facts{BootVerified: true, DMVerityRoothash: "sha256:00", DMVeritySignature: true, FSVerityDigest: "sha256:01", FSVeritySignature: true},
		}},
	}
)

// onTheWire has a value of each type that travels, with everything in it.
var onTheWire = []any{
	control.Status{
		Summary: "enforcing", Enforcing: true, State: "enforcing", Reasons: []string{"why"}, Engine: "bpf", EngineReason: "asked for", Active: &someInfo,
		Mode: someMode, Kernel: someState, KernelSHA256: "00ff", SelfTest: &someTest,
		Capabilities: []engine.Capability{{Name: "fsverity_digest", Available: true, Detail: "how"}}, Problems: []string{"disk: full"},
		Recorded: 1, Merged: 2, OverShare: 3, Refusals: 4, Users: someUsers, Missed: 5, Unnamed: 6,
		Sinks:   []control.SinkStatus{{Name: "file:/x", Written: 1, Lost: 2, ChangesLost: 3, Error: "full"}},
		Anchors: 7, Trust: control.Trust{Kind: "kernel", Certificates: 7},
	},
	someInfo,
	control.Record{
		Time: someTime, Action: "DENY", Op: "EXECUTE", Hook: "MMAP", Enforcing: true, PID: 9, Comm: "a\xff", Path: "/x\n\xfe<", Device: "dm-0", Inode: 4,
		Rule: "DEFAULT action=DENY", Policy: "site", Generation: 2, UID: &someUser, Merged: 3,
	},
	someForecast,
	controlrpc.Error{Errno: "ECANCELED", Message: "would be denied", Fix: "--force & <more>", Forecast: &someForecast},
	control.ModeResult{Mode: someMode, NotKept: "disk full"},
	controlrpc.ModeChange{Enforce: &yes, SuccessAudit: &yes},
	someMode,
}

// TestWireForm: what travels keeps its bytes, full and empty.
func TestWireForm(t *testing.T) {
	var got bytes.Buffer
	for _, full := range onTheWire {
		for _, hole := range holes(reflect.ValueOf(full), fmt.Sprintf("%T", full)) {
			t.Errorf("%s is empty in this test", hole)
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

// holes names the fields below v that travel and are empty.
func holes(v reflect.Value, path string) (all []string) {
	switch {
	case v.IsZero():
		return []string{path}
	case v.Kind() == reflect.Pointer:
		return holes(v.Elem(), path)
	case v.Kind() == reflect.Slice:
		return holes(v.Index(0), path)
	case v.Kind() != reflect.Struct || v.Type() == reflect.TypeFor[time.Time]():
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
		got, err := json.Marshal(control.AuditRecord{JSON: audit.NewJSON(h, audit.Status{Enforcing: true}), Merged: merged})
		if err != nil {
			t.Fatal(err)
		}
		if all := strings.TrimSuffix(string(plain), "}") + want + "}"; string(got) != all {
			t.Errorf("%s, want %s", got, all)
		}
	}
}
