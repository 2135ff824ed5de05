package archtest

import (
	"fmt"
	"go/ast"
	"maps"
	"slices"
)

// walker is the one package that goes down trees: openat2 below the directory that was
// named, and no symbolic link. What is signed and trusted must be what was asked for, whoever
// else may write there.
const walker = "internal/author/walk"

// listers are packages that list single directories, each with the reason why nobody can
// lead it elsewhere.
var listers = map[string]string{
	walker:                       "it is the walker",
	"internal/trust":             "iped wants the directory and each certificate in it to be root's",
	"internal/roothash":          "the directory and each file in it must be root's",
	"internal/daemon/policydir":  "the directory and each policy in it must be root's",
	"internal/control/store":     "its own directory; a message counts by its hash",
	"internal/engine/bpf":        "the kernel's file system, in a directory that only root enters",
	"internal/engine/securityfs": "the kernel's file system",
	"internal/linux/abi":         "the kernel's file system",
	"internal/cli/machine":       "what iped reads as well, to say what it will think of it",
}

// checkWalkers wants one walker of trees, and no directory to be listed by another unless it
// is on the list. What only the laboratory lists, it has made.
func checkWalkers(t *tree) (bad []string) {
	lists := map[string]bool{}
	for _, p := range t.sorted() {
		if forTests(p.dir) {
			continue
		}
		for _, f := range p.written() {
			ast.Inspect(f.syntax, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				line := f.fset.Position(sel.Pos()).Line
				switch name := sel.Sel.Name; {
				case walks(sel):
					bad = append(bad, fmt.Sprintf("%s: line %d: walks a tree, as only %s does", f.path, line, walker))
				case slices.Contains([]string{"ReadDir", "Readdir", "Readdirnames"}, name):
					lists[p.dir] = true
					if listers[p.dir] == "" {
						bad = append(bad, fmt.Sprintf("%s: line %d: lists a directory, and is not on the list of who may: %s walks", f.path, line, walker))
					}
				}
				return true
			})
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(listers)) {
		if !lists[dir] && t.whole() {
			bad = append(bad, dir+": on the list of what lists directories, and does not")
		}
	}
	return bad
}

// walks reports whether a function of the standard library that goes down a tree is meant.
func walks(sel *ast.SelectorExpr) bool {
	switch sel.Sel.Name {
	case "Walk":
		return isIdent(sel.X, "filepath")
	case "WalkDir":
		return isIdent(sel.X, "filepath") || isIdent(sel.X, "fs")
	case "CopyFS":
		return isIdent(sel.X, "os")
	}
	return false
}
