//go:build guest

package securityfs_test

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/audit"
)

// The kernel's struct audit_rule_data, in words of 32 bits.
const (
	ruleWords     = 3 + 64 + 64 + 64 + 64 + 1
	ruleMask      = 3
	ruleFields    = ruleMask + 64
	ruleValues    = ruleFields + 64
	ruleOperators = ruleValues + 64

	filterExclude = 5
	fieldMsgType  = 12
	operatorEqual = 0x40000000
)

// exclude adds or deletes the rule by which the audit system drops records of a type.
func exclude(t *testing.T, command uint16, typ audit.Type) {
	t.Helper()
	rule := make([]uint32, ruleWords)
	rule[0], rule[2] = filterExclude, 1
	for i := range 64 {
		rule[ruleMask+i] = ^uint32(0)
	}
	rule[ruleFields], rule[ruleValues], rule[ruleOperators] = fieldMsgType, uint32(typ), operatorEqual
	data, err := binary.Append(nil, binary.NativeEndian, rule)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := netlink.Dial(unix.NETLINK_AUDIT, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ask := netlink.Message{Header: netlink.Header{Type: netlink.HeaderType(command), Flags: netlink.Request | netlink.Acknowledge}, Data: data}
	if _, err := conn.Execute(ask); err != nil {
		t.Fatal(err)
	}
}

// TestEngineExcluded: the audit system drops the records, and nothing says so. Then
// denials prove nothing.
func TestEngineExcluded(t *testing.T) {
	e := open(t)
	site := active(t, "site-1.2.0")
	proven(t, e, site)
	exclude(t, unix.AUDIT_ADD_RULE, audit.TypeAccess)
	defer func() {
		exclude(t, unix.AUDIT_DEL_RULE, audit.TypeAccess)
		proven(t, e, site)
	}()
	mustDeny(t, "excluded")
	test, err := e.SelfTest(site)
	if err != nil || test.DenialSeen || test.Failed {
		t.Errorf("self-test: %+v, %v", test, err)
	}
	for _, p := range test.Probes {
		if !p.Unclear || !strings.Contains(p.Got, "there is no record") {
			t.Errorf("probe: %+v", p)
		}
	}
}
