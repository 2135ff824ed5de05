package eval_test

import (
	"fmt"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/policy"
)

const sealed = `policy_name=appliance policy_version=1.0.0
DEFAULT action=DENY
op=EXECUTE boot_verified=TRUE action=ALLOW
op=EXECUTE dmverity_roothash=sha256:cd2c action=ALLOW
`

func ExampleDecide() {
	p, err := policy.Parse([]byte(sealed))
	if err != nil {
		fmt.Println(err)
		return
	}
	onVolume := eval.Evidence{RootHash: digest.New("sha256", []byte{0xcd, 0x2c})}
	d := eval.Decide(p, eval.Event{Op: policy.OpExecute, Hook: eval.HookBprmCheck, Evidence: onVolume})
	fmt.Println(d.Action, d.Scope, d.Rule)

	memory := eval.Event{Op: policy.OpExecute, Hook: eval.HookMmap}
	d = eval.Decide(p, memory)
	fmt.Println(d.Action, d.Scope)
	// Output:
	// ALLOW rule 1
	// DENY global
}

func ExampleExplain() {
	p, err := policy.Parse([]byte(sealed))
	if err != nil {
		fmt.Println(err)
		return
	}
	onVolume := eval.Evidence{RootHash: digest.New("sha256", []byte{0xcd, 0x2c})}
	fmt.Print(eval.Explain(p, eval.Event{Op: policy.OpExecute, Hook: eval.HookBprmCheck, Evidence: onVolume}))
	// Output:
	// EXECUTE by BPRM_CHECK: ALLOW by rule 1 (line 4)
	// rule 0 (line 3) does not match: op=EXECUTE boot_verified=TRUE action=ALLOW
	//     false boot_verified=TRUE, is FALSE
	// rule 1 (line 4) matches: op=EXECUTE dmverity_roothash=sha256:cd2c action=ALLOW
	//     true  dmverity_roothash=sha256:cd2c, is sha256:cd2c
}
