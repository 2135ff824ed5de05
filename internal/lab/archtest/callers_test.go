package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// checkCallers wants each exported constant, variable and type below internal to be used
// by something that is no test. Functions nobody calls are found by "make lint".
func checkCallers(t *tree) (bad []string) {
	used := map[string]map[string]bool{} // names by package
	for _, p := range t.sorted() {
		used[p.dir] = map[string]bool{}
	}
	for _, p := range t.sorted() {
		for _, f := range p.files {
			if !f.test {
				f.eachUse(p.dir, func(dir, name string) {
					if used[dir] != nil {
						used[dir][name] = true
					}
				})
			}
		}
	}
	for _, p := range t.sorted() {
		if !within(p.dir, "internal") || forTests(p.dir) {
			continue
		}
		exported := p.exported()
		for _, name := range slices.Sorted(maps.Keys(exported)) {
			if !slices.ContainsFunc(exported[name], func(n string) bool { return used[p.dir][n] }) {
				bad = append(bad, fmt.Sprintf("%s: %s is exported, and nothing but tests uses it", p.dir, name))
			}
		}
	}
	return bad
}

// exported are the constants, variables and types of a package that others can use, each
// with those that are of use together with it: the values of one enumeration, and itself.
func (p *pkg) exported() map[string][]string {
	all := map[string][]string{}
	for _, f := range p.written() {
		for _, d := range f.syntax.Decls {
			gen, ok := d.(*ast.GenDecl)
			if !ok || gen.Tok == token.IMPORT {
				continue
			}
			var names []string
			for _, spec := range gen.Specs {
				for _, id := range declared(spec) {
					names = append(names, id.Name)
				}
			}
			for _, name := range names {
				if token.IsExported(name) {
					all[name] = together(gen, name, names)
				}
			}
		}
	}
	return all
}

// together are the names of a declaration that are of use with one of them: all if they
// are numbered, else it alone.
func together(gen *ast.GenDecl, name string, names []string) []string {
	numbered := false
	ast.Inspect(gen, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		numbered = numbered || ok && id.Name == "iota"
		return true
	})
	if numbered {
		return names
	}
	return []string{name}
}

func declared(spec ast.Spec) []*ast.Ident {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		return []*ast.Ident{s.Name}
	case *ast.ValueSpec:
		return s.Names
	}
	return nil
}

// eachUse calls fn for each name that a file uses: of its own package, whose directory is
// dir, or of another by way of an import. A name that only its own declaration has is not
// used.
func (f *goFile) eachUse(dir string, fn func(dir, name string)) {
	imported := map[string]string{}
	for _, spec := range f.syntax.Imports {
		if to, ok := strings.CutPrefix(unquoted(spec.Path), module+"/"); ok {
			name := path.Base(to)
			if spec.Name != nil {
				name = spec.Name.Name
			}
			imported[name] = to
		}
	}
	declaring := map[*ast.Ident]bool{}
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case ast.Spec:
			for _, id := range declared(n) {
				declaring[id] = true
			}
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && imported[x.Name] != "" {
				fn(imported[x.Name], n.Sel.Name)
				return false
			}
		case *ast.Ident:
			if !declaring[n] {
				fn(dir, n.Name)
			}
		}
		return true
	})
}

func unquoted(lit *ast.BasicLit) string {
	s, err := strconv.Unquote(lit.Value)
	if err != nil {
		return ""
	}
	return s
}
