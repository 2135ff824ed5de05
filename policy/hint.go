package policy

import (
	"bytes"
	"slices"
	"strings"

	"github.com/ipe-linux/ipe/policy/internal/lex"
)

// otherNames maps names that people use, some of them from older versions of
// IPE or from other kernels, to those of the language.
var otherNames = map[string]string{
	"KERNEL_MODULE": "KMODULE", "MODULE": "KMODULE", "EXEC": "EXECUTE",
	"X509_CERTIFICATE": "X509_CERT", "X509": "X509_CERT", "INITRAMFS": "KEXEC_INITRAMFS",
	"KEXEC_KERNEL": "KEXEC_IMAGE", "KEXEC": "KEXEC_IMAGE",
}

// explainOperation says why tok is no operation.
func explainOperation(tok []byte) *SyntaxError {
	s := string(tok)
	key, value, hasValue := strings.Cut(s, "=")
	switch _, isKey := lookupKey([]byte(key)); {
	case s == lex.Default:
		return refuse(ErrSyntax, CodeDefaultPlace, "DEFAULT may stand once, as the first word")
	case isKey:
		return refuse(ErrSyntax, CodeOperationPlace, "the operation must come before its properties: begin with op=")
	case key == lex.KeyAction:
		return refuse(ErrSyntax, CodeActionPlace, "the action must be the last word: begin with op= or DEFAULT")
	case s == lex.KeyOp || s == "op=":
		return refuse(ErrSyntax, CodeOperation, "no operation (op=EXECUTE is one word, without blanks around =)")
	case key+"=" == wordName || key+"=" == wordVersion:
		return refuse(ErrSyntax, CodeSecondHeader, "a second header: the header is the first line, and one line")
	}
	if hint, ok := closest(s); ok {
		return mended(hint, CodeOperation, "unknown operation: write %s", hint)
	}
	if name, ok := otherNames[strings.ToUpper(value)]; ok {
		return mended(lex.KeyOp+"="+name, CodeOperation, "unknown operation: its name is op=%s", name)
	}
	if key == lex.KeyOp && hasValue {
		return refuse(ErrSyntax, CodeOperation, "unknown operation: there are %s", strings.Join(opNames[:numOps], ", "))
	}
	return refuse(ErrSyntax, CodeStatement, "unknown statement: a line begins with op= or DEFAULT")
}

// explainProperty says why tok is no property.
func explainProperty(tok []byte) *SyntaxError {
	s := string(tok)
	key, _, hasValue := strings.Cut(s, "=")
	switch _, isKey := lookupKey([]byte(key)); {
	case key == lex.KeyOp && hasValue:
		return refuse(ErrSyntax, CodeOperationPlace, "a second operation: write one line for each")
	case key == lex.KeyAction && strings.HasSuffix(s, ";"):
		return refuse(ErrSyntax, CodeSeparator, "nothing separates statements on one line: write each on its own, without ;")
	case key == lex.KeyAction && hasValue:
		return refuse(ErrSyntax, CodeActionPlace, "the action must be the last word of its line")
	case s == lex.Default:
		return refuse(ErrSyntax, CodeDefaultPlace, "DEFAULT must be the first word of its line")
	case s == "=":
		return refuse(ErrSyntax, CodeBlank, "no blanks may stand around =")
	case s == `\`:
		return refuse(ErrSyntax, CodeSeparator, "a line cannot be continued: write the rule on one line")
	case isKey && !hasValue:
		return refuse(ErrSyntax, CodeBlank, "no value (%s=VALUE is one word, without blanks around =)", key)
	}
	hint, similar := closest(s)
	switch _, isKey := lookupKey([]byte(key)); {
	case isKey && similar:
		return mended(hint, CodeValue, "the value must be TRUE or FALSE: write %s", hint)
	case isKey:
		return refuse(ErrSyntax, CodeValue, "the value must be TRUE or FALSE")
	case similar:
		return mended(hint, CodeProperty, "unknown property: write %s", hint)
	}
	return refuse(ErrSyntax, CodeProperty, "unknown property: there are %s", strings.Join(keyNames[:], ", "))
}

// explainAction says why the last token of a line is no action.
func explainAction(tok []byte) *SyntaxError {
	if hint, ok := closest(string(tok)); ok && strings.HasPrefix(hint, lex.KeyAction) {
		return mended(hint, CodeAction, "unknown action: write %s", hint)
	}
	if string(tok) == `\` {
		return refuse(ErrSyntax, CodeSeparator, "a line cannot be continued: write the rule on one line")
	}
	if bytes.HasPrefix(tok, []byte(lex.KeyAction)) {
		return refuse(ErrSyntax, CodeAction, "unknown action: there are action=ALLOW and action=DENY")
	}
	return refuse(ErrSyntax, CodeNoAction, "a line must end with action=ALLOW or action=DENY")
}

// explainNoColon says what a digest looks like.
func explainNoColon(value []byte) *SyntaxError {
	if len(value) == 0 {
		return refuse(ErrSyntax, CodeBlank, "no digest (no blank may follow =)")
	}
	return refuse(ErrSyntax, CodeDigest, "no colon: a digest is written algorithm:hex, like sha256:cd2c")
}

// explainHex says what is wrong with the hex digits of a digest.
func explainHex(digits []byte) *SyntaxError {
	isHex := func(c byte) bool { return strings.IndexByte("0123456789abcdefABCDEF", c) >= 0 }
	bad := slices.IndexFunc(digits, func(c byte) bool { return !isHex(c) })
	switch {
	case bytes.HasPrefix(digits, []byte("0x")), bytes.HasPrefix(digits, []byte("0X")):
		return refuse(ErrValue, CodeDigest, "hex digits are written without 0x")
	case bad >= 0:
		return refuse(ErrValue, CodeDigest, "%q at digit %d is not a hex digit", digits[bad:bad+1], bad+1)
	}
	return refuse(ErrValue, CodeDigest, "%d hex digits, an odd number: a byte has two", len(digits))
}

// closest returns the word of the language that differs from s only in case, in
// quotes or in a separator at its end.
func closest(s string) (string, bool) {
	s = strings.TrimRight(strings.NewReplacer(`"`, "", "'", "").Replace(s), ";,")
	for _, word := range vocabulary() {
		if strings.EqualFold(s, word) {
			return word, true
		}
	}
	return "", false
}

// vocabulary lists all tokens that have but one spelling.
func vocabulary() []string {
	words := []string{lex.Default, lex.KeyAction + "=" + Allow.String(), lex.KeyAction + "=" + Deny.String()}
	for _, name := range opNames[:numOps] {
		words = append(words, lex.KeyOp+"="+name)
	}
	for _, k := range AllKeys() {
		if !k.IsDigest() {
			words = append(words, k.String()+"="+lex.True, k.String()+"="+lex.False)
		}
	}
	return words
}

// join lists operations in a sentence.
func join(ops []Op) string {
	names := make([]string, len(ops))
	for i, op := range ops {
		names[i] = op.String()
	}
	return strings.Join(names, ", ")
}
