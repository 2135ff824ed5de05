//go:build !guest

package securityfs

import (
	"testing"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/policy"
)

// TestAttribute finds each statement of a policy again, by the text of a record.
func TestAttribute(t *testing.T) {
	p, err := policy.Parse([]byte("policy_name=p policy_version=1.0.0\nDEFAULT action=DENY\nDEFAULT op=KMODULE action=ALLOW\n" +
		"op=EXECUTE boot_verified=TRUE action=ALLOW\nop=EXECUTE dmverity_roothash=sha256:00fF action=ALLOW\n" +
		"op=EXECUTE   boot_verified=TRUE action=ALLOW # again\nop=KMODULE boot_verified=TRUE action=ALLOW\n"))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		op     policy.Op
		record string
		want   eval.Decision
		found  bool
	}{
		{policy.OpExecute, `op=EXECUTE boot_verified=TRUE action=ALLOW`, eval.Decision{Action: policy.Allow, Rule: 0}, true},
		{policy.OpExecute, `op=EXECUTE dmverity_roothash="sha256":00FF action=ALLOW`, eval.Decision{Action: policy.Allow, Rule: 1}, true},
		{policy.OpKModule, `op=KMODULE boot_verified=TRUE action=ALLOW`, eval.Decision{Action: policy.Allow, Rule: 3}, true},
		{policy.OpKModule, `DEFAULT op=KMODULE action=ALLOW`, eval.Decision{Action: policy.Allow, Scope: policy.ScopeOp, Rule: eval.NoRule}, true},
		{policy.OpUnknown, `DEFAULT action=DENY`, eval.Decision{Action: policy.Deny, Scope: policy.ScopeGlobal, Rule: eval.NoRule}, true},
		{policy.OpExecute, `DEFAULT action=ALLOW`, eval.Decision{Action: policy.Allow, Scope: policy.ScopeGlobal, Rule: eval.NoRule}, false},
		{policy.OpFirmware, `DEFAULT op=FIRMWARE action=DENY`, eval.Decision{Action: policy.Deny, Scope: policy.ScopeOp, Rule: eval.NoRule}, false},
		{policy.OpExecute, `op=EXECUTE boot_verified=FALSE action=ALLOW`, eval.Decision{Action: policy.Allow, Rule: eval.NoRule}, false},
	}
	x := index(p)
	for _, tt := range tests {
		st, err := audit.ParseStatement(tt.record)
		if err != nil {
			t.Fatal(err)
		}
		if got, found := x.attribute(tt.op, st); got != tt.want || found != tt.found {
			t.Errorf("%s: %+v, %v, want %+v, %v", tt.record, got, found, tt.want, tt.found)
		}
		if _, found := (*indexed)(nil).attribute(tt.op, st); found {
			t.Errorf("%s: found in no policy", tt.record)
		}
		made, d := reconstruct(st)
		if own, err := eval.StatementOf(made, tt.op, d); err != nil || audit.Statement(own).String() != tt.record {
			t.Errorf("%s: made %s, %v", tt.record, own, err)
		}
	}
}

// TestKnownForgets keeps what is late, and not everything.
func TestKnownForgets(t *testing.T) {
	k := newKnown()
	p := &policy.Policy{}
	if k.any() {
		t.Error("something is known of nothing")
	}
	for i := range byte(2 * keptPolicies) {
		k.add([32]byte{i}, p)
		if got := k.generation([32]byte{i}); got != uint64(i)+1 {
			t.Errorf("generation %d, want %d", got, i+1)
		}
	}
	if k.get([32]byte{keptPolicies - 1}) != nil || k.get([32]byte{keptPolicies}) == nil || k.generation([32]byte{3}) != 4 || !k.any() {
		t.Error("the oldest go, the others stay, and numbers are never given twice")
	}
}
