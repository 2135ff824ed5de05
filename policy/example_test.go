package policy_test

import (
	"errors"
	"fmt"

	"github.com/ipe-linux/ipe/policy"
)

func ExampleParse() {
	p, err := policy.Parse([]byte(`policy_name=appliance policy_version=1.0.0
DEFAULT action=DENY
op=EXECUTE dmverity_signature=TRUE action=ALLOW # the sealed volume
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.Name, p.Version, len(p.Rules), p.Rules[0].Action)
	// Output: appliance 1.0.0 1 ALLOW
}

func ExampleParse_error() {
	_, err := policy.Parse([]byte(`policy_name=appliance policy_version=1.0.0
DEFAULT action=DENY
op=EXECUTE dmverity_signature=true action=ALLOW
`))
	var bad *policy.SyntaxError
	if errors.As(err, &bad) {
		fmt.Println(bad.Line, bad.Col, bad.Token)
	}
	fmt.Println(err)
	// Output:
	// 3 12 dmverity_signature=true
	// line 3, column 12: "dmverity_signature=true": the value must be TRUE or FALSE: write dmverity_signature=TRUE
}

func ExampleParseVersion() {
	running, _ := policy.ParseVersion("1.9.0")
	next, err := policy.ParseVersion("1.10.0")
	fmt.Println(next.Compare(running) > 0, err)
	// Output: true <nil>
}
