package syntax_test

import (
	"errors"
	"testing"

	"github.com/ipe-linux/ipe/policy"
	"github.com/ipe-linux/ipe/policy/syntax"
)

func TestFormat(t *testing.T) {
	tests := []struct{ name, src, want string }{
		{"nothing to do", full, full},
		{"comments stay", "# top\n\n" + header + deny + "# end", "# top\n\n" + header + deny + "# end\n"},
		{"empty lines", "\n\n" + header + "\n \n\t\n" + deny + "\n\n", header + "\n" + deny},
		{"line ends", "policy_name=p policy_version=0.0.0\r\n\r\n\r\nDEFAULT action=DENY\r#c\r\n", header + "\n" + deny + "#c\n"},
		{"blanks", "  policy_name=p\t  policy_version=0.0.0 \v\n\tDEFAULT\taction=DENY\xA0\n", header + deny},
		{"comment behind a statement", header + "DEFAULT action=DENY#c \n  #d\t\n", header + "DEFAULT action=DENY #c\n#d\n"},
		{"comment ends in a letter of two bytes", "# \xC3\xA0\n" + header + deny, "# \xC3\xA0\n" + header + deny},
		{"comment keeps inner blanks", header + deny + "#  a   b\n", header + deny + "#  a   b\n"},
		{"hex", header + deny + "op=EXECUTE dmverity_roothash=SHA:ABcd action=ALLOW",
			header + deny + "op=EXECUTE dmverity_roothash=SHA:abcd action=ALLOW\n"},
		{"version as written", "policy_name=p policy_version=+01.0.0\n" + deny, "policy_name=p policy_version=+01.0.0\n" + deny},
		{"name is no digest", "policy_name=dmverity_roothash=A:AB policy_version=0.0.0\n" + deny,
			"policy_name=dmverity_roothash=A:AB policy_version=0.0.0\n" + deny},
		{"order stays", header + "op=EXECUTE action=ALLOW\n" + deny, header + "op=EXECUTE action=ALLOW\n" + deny},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := syntax.Format([]byte(tt.src))
			if err != nil || string(got) != tt.want {
				t.Errorf("%q, %v; want %q", got, err, tt.want)
			}
			checkFormat(t, []byte(tt.src), parse(t, tt.src))
		})
	}
}

func TestFormatRefuses(t *testing.T) {
	tests := []struct {
		name, src string
		line, col int
	}{
		{"invalid policy", header + "op=x action=DENY", 2, 1},
		{"NUL byte", header + deny + "# a\x00b\n", 3, 4},
		{"NUL byte at the end", header + deny + "\x00", 3, 1},
	}
	for _, tt := range tests {
		out, err := syntax.Format([]byte(tt.src))
		var se *policy.SyntaxError
		if !errors.As(err, &se) || out != nil {
			t.Errorf("%s: %q, %v; want a SyntaxError", tt.name, out, err)
			continue
		}
		if se.Line != tt.line || se.Col != tt.col {
			t.Errorf("%s: %v; want line %d, column %d", tt.name, err, tt.line, tt.col)
		}
	}
}
