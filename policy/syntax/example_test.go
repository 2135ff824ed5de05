package syntax_test

import (
	"fmt"
	"os"

	"github.com/ipe-linux/ipe/policy"
	"github.com/ipe-linux/ipe/policy/syntax"
)

// An editor underlines each mistake and offers what to write instead.
func ExampleFile_Errors() {
	file := syntax.Parse([]byte(`policy_name=p policy_version=1.0.0
DEFAULT action=DENY
op=execute boot_verified=yes action=ALLOW
`))
	for _, e := range file.Errors() {
		fmt.Printf("bytes %d to %d [%s]: %s\n", e.Range.Start.Offset, e.Range.End.Offset, e.Code, e.Msg)
		if e.Fix != "" {
			fmt.Printf("write %s\n", e.Fix)
		}
	}
	// Output:
	// bytes 55 to 65 [operation]: unknown operation: write op=EXECUTE
	// write op=EXECUTE
	// bytes 66 to 83 [value]: the value must be TRUE or FALSE
}

// Each rule of a policy has its place in the text, and so has each of its properties.
func ExampleFile_Line() {
	text := []byte(`policy_name=p policy_version=1.0.0
DEFAULT action=DENY
op=EXECUTE boot_verified=TRUE action=ALLOW # the initramfs
`)
	p, err := policy.Parse(text)
	if err != nil {
		fmt.Println(err)
		return
	}
	line, _ := syntax.Parse(text).Line(p.Rules[0].Line)
	for _, tok := range line.Tokens {
		fmt.Println(tok.Pos.Line, tok.Pos.Col, tok.Kind, tok.Text)
	}
	// Output:
	// 3 1 op op=EXECUTE
	// 3 12 property boot_verified=TRUE
	// 3 31 action action=ALLOW
	// 3 44 comment # the initramfs
}

// What is under a cursor, and where its value begins.
func ExampleFile_TokenAt() {
	file := syntax.Parse([]byte("policy_name=p policy_version=1.0.0\nop=EXE"))
	if tok, ok := file.TokenAt(41); ok {
		value, pos, _ := tok.Value()
		fmt.Println(tok.Kind, value, pos.Line, pos.Col)
	}
	// Output: op EXE 2 4
}

func ExampleFormat() {
	out, err := syntax.Format([]byte("policy_name=p   policy_version=1.0.0\r\n\r\n\r\n\tDEFAULT action=DENY# closed\r\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	os.Stdout.Write(out)
	// Output:
	// policy_name=p policy_version=1.0.0
	//
	// DEFAULT action=DENY # closed
}
