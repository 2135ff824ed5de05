package lex

import (
	"fmt"
	"strconv"
)

// The keys and words around the names of operations, actions and properties, which
// package policy has.
const (
	KeyName    = "policy_name"
	KeyVersion = "policy_version"
	KeyOp      = "op"
	KeyAction  = "action"
	Default    = "DEFAULT"
	True       = "TRUE"
	False      = "FALSE"
)

// maxQuoted bounds what a message shows of a token, in bytes.
const maxQuoted = 80

// Quote returns a token as messages show it: in quotes, printable, the middle of a long one
// left out.
func Quote(s string) string {
	if len(s) <= maxQuoted {
		return strconv.Quote(s)
	}
	return fmt.Sprintf("%q...%q (%d bytes)", s[:maxQuoted/2], s[len(s)-8:], len(s))
}
