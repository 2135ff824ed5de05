package audit_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/policy"
)

func ExampleParse() {
	h, r, err := audit.Parse(`[   11.019519] audit: type=1420 audit(1690000000.123:52): ipe_op=EXECUTE ipe_hook=BPRM_CHECK ` +
		`enforcing=1 pid=198 comm="sh" path=2F6D6E742F6120746F6F6C dev="vda" ino=12 ` +
		`rule="op=EXECUTE fsverity_digest="sha256":7EF7F9A7 action=DENY"`)
	if err != nil {
		fmt.Println(err)
		return
	}
	a := r.(audit.Access)
	fmt.Println(h.Time.Format(time.RFC3339Nano), h.Serial)
	fmt.Printf("%v %q: %v by %v %v\n", a.Op, a.File.Path, a.Rule.Action, a.Rule.Scope, a.Rule.Properties)
	// Output:
	// 2023-07-22T04:26:40.123Z 52
	// EXECUTE "/mnt/a tool": DENY by rule [fsverity_digest=sha256:7ef7f9a7]
}

func ExampleParse_errors() {
	for _, line := range []string{
		"Run /init as init process",
		`type=IPE_ACCESS msg=audit(1690000000.123:7): ipe_op=EXECUTE ipe_hook=MMAP enforcing=1 pid=7 comm="s`,
		`type=IPE_ACCESS msg=audit(1690000000.123:7): ipe_op=EXECUTE ipe_hook=MMAP enforcing=yes`,
	} {
		_, _, err := audit.Parse(line)
		fmt.Println(errors.Is(err, audit.ErrNotIPE), err)
	}
	// Output:
	// true not a record of IPE
	// false parse IPE_ACCESS: truncated record: byte 99: want "\""
	// false parse IPE_ACCESS: malformed record: byte 84: want "0"
}

func ExampleGeneration_Append() {
	load := audit.PolicyLoad{
		Policy:  &audit.PolicyID{Name: "gateway", Version: policy.Version{Major: 1}},
		Subject: audit.Subject{AUID: 1000, Session: 3},
	}
	for _, g := range []audit.Generation{audit.Linux6_12, audit.Newest} {
		_, end, _ := strings.Cut(string(g.Append(nil, load)), " auid=1000 ")
		fmt.Println(g, end)
	}
	// Output:
	// 6.12 ses=3 lsm=ipe res=1
	// 6.19 ses=3 lsm=ipe res=1 errno=0
}

func ExampleGeneration_AppendAuditLog() {
	h := audit.Header{Time: time.UnixMilli(1690000000123), Serial: 45}
	s := audit.Status{Enforcing: true, Subject: audit.Nobody()}
	fmt.Printf("%s\n", audit.Newest.AppendAuditLog(nil, h, s))
	// Output:
	// type=MAC_STATUS msg=audit(1690000000.123:45): enforcing=1 old_enforcing=0 auid=4294967295 ses=4294967295 enabled=1 old-enabled=1 lsm=ipe res=1
}

func ExampleGeneration_AppendKernelLog() {
	h := audit.Header{Time: time.UnixMilli(1690000000123), Serial: 45}
	a := audit.Access{
		Op: policy.OpExecute, Hook: eval.HookMmap, PID: 990, Comm: "jit",
		Rule: audit.Statement{Scope: policy.ScopeOp, Op: policy.OpExecute, Action: policy.Deny},
	}
	fmt.Printf("%s\n", audit.Newest.AppendKernelLog(nil, h, a))
	// Output:
	// audit: type=1420 audit(1690000000.123:45): ipe_op=EXECUTE ipe_hook=MMAP enforcing=0 pid=990 comm="jit" path=? dev=? ino=? rule="DEFAULT op=EXECUTE action=DENY"
}

func ExampleStatement() {
	p, err := policy.Parse([]byte("policy_name=p policy_version=1.0.0\nDEFAULT action=ALLOW\n" +
		"op=EXECUTE dmverity_roothash=sha256:cd2c  action=DENY # revoked\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	st, err := eval.StatementOf(p, policy.OpExecute, eval.Decision{Action: policy.Deny, Scope: policy.ScopeRule, Rule: 0})
	fmt.Println(audit.Statement(st), err)
	// Output: op=EXECUTE dmverity_roothash="sha256":CD2C action=DENY <nil>
}

func ExampleParseStatement() {
	st, err := audit.ParseStatement(`op=KMODULE dmverity_roothash="sha256":00FF action=ALLOW`)
	fmt.Println(st.Op, st.Properties, st.Action, err)
	// Output: KMODULE [dmverity_roothash=sha256:00ff] ALLOW <nil>
}

func ExampleAppendUntrusted() {
	fmt.Printf("%s %s\n", audit.AppendUntrusted(nil, "/bin/sh"), audit.AppendUntrusted(nil, "/tmp/x (deleted)"))
	// Output: "/bin/sh" 2F746D702F78202864656C6574656429
}

func ExampleParseUntrusted() {
	fmt.Println(audit.ParseUntrusted("2F746D702F78202864656C6574656429"))
	// Output: /tmp/x (deleted) <nil>
}

// One record of each kind, in version 1. These lines never change.
func ExampleNewJSON() {
	h := audit.Header{Time: time.UnixMilli(1690000000123).UTC(), Serial: 45}
	root := audit.Nobody()
	id := &audit.PolicyID{Name: "gateway", Version: policy.Version{Major: 1, Minor: 2, Rev: 3}, Digest: [32]byte{0xab}}
	global := audit.Statement{Scope: policy.ScopeGlobal, Action: policy.Deny}
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for _, r := range []audit.Record{
		audit.Access{Op: policy.OpExecute, Hook: eval.HookBprmCheck, Enforcing: true, PID: 812, Comm: "sh",
			File: &audit.File{Path: "/tmp/caf\xe9", Dev: "tmpfs", Ino: 57}, Rule: global},
		audit.Access{Op: policy.OpKModule, Hook: eval.HookKernelLoad, PID: 7, Comm: "é", Rule: global},
		audit.ConfigChange{New: id, Subject: audit.Subject{AUID: 1000, Session: 7}},
		audit.PolicyLoad{Errno: 126, Subject: root},
		audit.Status{OldEnforcing: true, Subject: root},
	} {
		if err := out.Encode(audit.NewJSON(h, r)); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// {"version":1,"type":1420,"name":"IPE_ACCESS","time":"2023-07-22T04:26:40.123Z","serial":45,"access":{"op":"EXECUTE","hook":"BPRM_CHECK","enforcing":true,"pid":812,"comm":"sh","file":{"path":{"hex":"2f746d702f636166e9"},"dev":"tmpfs","ino":57},"action":"DENY","scope":"global","rule":"DEFAULT action=DENY"}}
	// {"version":1,"type":1420,"name":"IPE_ACCESS","time":"2023-07-22T04:26:40.123Z","serial":45,"access":{"op":"KMODULE","hook":"KERNEL_LOAD","enforcing":false,"pid":7,"comm":"é","file":null,"action":"DENY","scope":"global","rule":"DEFAULT action=DENY"}}
	// {"version":1,"type":1421,"name":"IPE_CONFIG_CHANGE","time":"2023-07-22T04:26:40.123Z","serial":45,"config_change":{"old":null,"new":{"name":"gateway","version":"1.2.3","digest":"sha256:ab00000000000000000000000000000000000000000000000000000000000000"},"auid":1000,"ses":7}}
	// {"version":1,"type":1422,"name":"IPE_POLICY_LOAD","time":"2023-07-22T04:26:40.123Z","serial":45,"policy_load":{"policy":null,"errno":126,"auid":null,"ses":null}}
	// {"version":1,"type":1404,"name":"MAC_STATUS","time":"2023-07-22T04:26:40.123Z","serial":45,"status":{"enforcing":false,"old_enforcing":true,"auid":null,"ses":null}}
}
