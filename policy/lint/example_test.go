package lint_test

import (
	"fmt"

	"github.com/ipe-linux/ipe/policy"
	"github.com/ipe-linux/ipe/policy/lint"
)

func ExampleCheck() {
	p, err := policy.Parse([]byte(`policy_name=p policy_version=1.0.0
DEFAULT action=DENY
op=EXECUTE dmverity_signature=FALSE action=ALLOW
op=EXECUTE dmverity_roothash=sha256:cd2c action=ALLOW
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range lint.Check(p) {
		fmt.Printf("%v: %v [%s]\n", f.Severity, f, f.Code)
	}
	// Output:
	// warning: line 3: the rule also allows executable memory that belongs to no file [anonymous-memory]
	// error: line 4: dmverity_roothash never matches: sha256 has 32 bytes, the digest has 2 [digest-size]
}
