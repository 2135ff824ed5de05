package archtest

import (
	"fmt"
	"go/ast"
	"go/build/constraint"
	"go/token"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Prefixes of the names of tests that "make quick" leaves out: those that boot a machine,
// and those that need another program to compare with.
const (
	prefixVM   = "TestVM"
	prefixPeer = "TestPeer"
)

// harness is the package in which a test boots a machine by any function; booting are the
// functions of others that do so.
const harness = "vmtest"

var booting = map[string]bool{"vm.Run": true, "debian.FindKernel": true, "debian.Kernels": true}

// peers are programs that do what ours do, and are there only after "make setup".
var peers = map[string]bool{"veritysetup": true, "fsverity": true, "ausearch": true, "aureport": true}

// uses is what a function mentions: others of its package by name, machines, peers.
type uses struct {
	test        *goFile // where it is declared, if it is a test
	names       map[string]bool
	boots, runs bool
}

// checkTestNames wants a test's name to tell whether it boots a machine or needs a peer.
func checkTestNames(t *tree) (bad []string) {
	for _, p := range t.sorted() {
		funcs := p.uses()
		for _, name := range slices.Sorted(maps.Keys(funcs)) {
			f := funcs[name].test
			if f == nil {
				continue
			}
			boots, runs := reached(funcs, name)
			named := strings.HasPrefix(name, prefixVM)
			switch {
			case boots && !named, named && !p.mentions("vm"):
				bad = append(bad, fmt.Sprintf("%s: %s: a test is called %s... if it boots a machine, and only then", f.path, name, prefixVM))
			case runs && !named && !strings.HasPrefix(name, prefixPeer):
				bad = append(bad, fmt.Sprintf("%s: %s: a test that runs another program to compare with is called %s...", f.path, name, prefixPeer))
			}
		}
	}
	return bad
}

// mentions tells whether a package imports, or is, the one of that name.
func (p *pkg) mentions(name string) bool {
	is := func(path string) bool { return path == name || strings.HasSuffix(path, "/"+name) }
	return is(p.dir) || slices.ContainsFunc(slices.Concat(p.imports(false), p.imports(true)), is)
}

// reached tells what a function does by way of others of its package.
func reached(funcs map[string]*uses, name string) (boots, runs bool) {
	seen := map[string]bool{}
	var visit func(string)
	visit = func(name string) {
		u := funcs[name]
		if u == nil || seen[name] {
			return
		}
		seen[name] = true
		boots, runs = boots || u.boots, runs || u.runs
		for next := range u.names {
			visit(next)
		}
	}
	visit(name)
	return boots, runs
}

// uses looks through the functions that are built on a host; what methods do is not
// followed, since names do not tell whose they are.
func (p *pkg) uses() map[string]*uses {
	all := map[string]*uses{}
	for _, f := range p.files {
		if inGuest(f.syntax) {
			continue
		}
		for _, decl := range f.syntax.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Body == nil || fn.Recv != nil {
				continue
			}
			u := &uses{names: map[string]bool{}}
			all[fn.Name.Name] = u
			if f.test && isTestName(fn.Name.Name) {
				u.test = f
			}
			u.look(fn.Body, p.dir)
		}
	}
	return all
}

func isTestName(name string) bool { return strings.HasPrefix(name, "Test") && name != "TestMain" }

func (u *uses) look(body ast.Node, dir string) {
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Ident:
			u.names[n.Name] = true
			u.boots = u.boots || strings.HasSuffix(dir, "/lab/vm") && n.Name == "execute"
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok {
				u.boots = u.boots || x.Name == harness || booting[x.Name+"."+n.Sel.Name]
				return false
			}
		case *ast.CallExpr:
			u.runs = u.runs || runsPeer(n)
		}
		return true
	})
}

// runsPeer tells a call such as exec.Command("veritysetup").
func runsPeer(call *ast.CallExpr) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !isIdent(sel.X, "exec") {
		return false
	}
	return slices.ContainsFunc(call.Args, func(e ast.Expr) bool {
		lit, ok := e.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return false
		}
		name, err := strconv.Unquote(lit.Value)
		return err == nil && peers[name]
	})
}

// inGuest tells a file that is built for guests only.
func inGuest(f *ast.File) bool {
	for _, group := range f.Comments {
		for _, c := range group.List {
			if expr, err := constraint.Parse(c.Text); err == nil {
				return !expr.Eval(func(tag string) bool { return tag != "guest" })
			}
		}
	}
	return false
}
