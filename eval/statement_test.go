package eval_test

import (
	"errors"
	"testing"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/policy"
)

func TestStatementOf(t *testing.T) {
	p, err := policy.Parse([]byte("policy_name=p policy_version=1.0.0\nDEFAULT action=DENY\nDEFAULT op=KMODULE action=ALLOW\n" +
		"op=EXECUTE dmverity_signature=FALSE  fsverity_digest=sha256:00FF action=DENY # c\nop=POLICY action=ALLOW\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		op   policy.Op
		file digest.Digest
		want string
	}{
		{policy.OpExecute, digest.New("sha256", []byte{0, 255}), "op=EXECUTE dmverity_signature=FALSE fsverity_digest=sha256:00ff action=DENY"},
		{policy.OpExecute, digest.Digest{}, "DEFAULT action=DENY"},
		{policy.OpKModule, digest.Digest{}, "DEFAULT op=KMODULE action=ALLOW"},
		{policy.OpPolicy, digest.Digest{}, "op=POLICY action=ALLOW"},
		{policy.OpUnknown, digest.Digest{}, "DEFAULT action=DENY"},
	} {
		d := eval.Decide(p, eval.Event{Op: tt.op, Evidence: eval.Evidence{FileDigest: tt.file}})
		if st, err := eval.StatementOf(p, tt.op, d); err != nil || st.String() != tt.want {
			t.Errorf("%v: %v, %v; want %s", tt.op, st, err, tt.want)
		}
	}
	for _, d := range []eval.Decision{{Rule: 2}, {Rule: -1}} {
		if _, err := eval.StatementOf(p, 0, d); !errors.Is(err, eval.ErrNoRule) {
			t.Errorf("rule %d: %v", d.Rule, err)
		}
	}
	if _, err := eval.StatementOf(nil, 0, eval.Decision{}); !errors.Is(err, eval.ErrNoRule) {
		t.Errorf("no policy: %v", err)
	}
}
