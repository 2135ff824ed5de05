package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"regexp"
)

// guessing matches the methods of flag and pflag that define a number, and the functions
// that scan one without a verb: they take 010 for 8, and 0x10.
var guessing = regexp.MustCompile(`^(Ui|I)nt(8|16|32|64)?(Slice)?(Var)?P?$|^[SF]?[Ss]can(ln)?$`)

// guessingArgs is the fewest arguments of such a method: name, value and usage. Conversions
// and methods of the same names have fewer.
const guessingArgs = 3

// checkNumbers wants numbers that people write to be decimal: internal/decimal reads them.
func checkNumbers(t *tree) (bad []string) {
	for f := range t.own {
		if f.test {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && guesses(call) {
				bad = append(bad, fmt.Sprintf("%s: line %d: takes 010 for 8; internal/decimal reads numbers", f.path, f.fset.Position(call.Pos()).Line))
			}
			return true
		})
	}
	return bad
}

// guesses says whether a call guesses the base of a number from its prefix.
func guesses(call *ast.CallExpr) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	switch name := sel.Sel.Name; {
	case isIdent(sel.X, "strconv") && (name == "ParseInt" || name == "ParseUint"):
		return len(call.Args) == 3 && isZero(call.Args[1])
	case isIdent(sel.X, "fmt"):
		return guessing.MatchString(name)
	default:
		return guessing.MatchString(name) && len(call.Args) >= guessingArgs
	}
}

func isZero(e ast.Expr) bool {
	lit, ok := e.(*ast.BasicLit)
	return ok && lit.Kind == token.INT && lit.Value == "0"
}
