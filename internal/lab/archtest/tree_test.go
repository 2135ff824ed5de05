package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// module is the path of this module; root is where it lies.
const (
	module = "github.com/ipe-linux/ipe"
	root   = "../../.."
)

// tree is every package of a module, whatever the build constraints of its files,
// and every C file.
type tree struct {
	packages map[string]*pkg
	c        []cFile
}

// pkg is a directory with Go files.
type pkg struct {
	dir   string
	files []*goFile
}

type goFile struct {
	path      string
	lines     int
	test      bool
	generated bool
	fset      *token.FileSet
	syntax    *ast.File
}

type cFile struct{ path, text string }

// loadTree parses a module. It skips what the go command skips, and modules within.
func loadTree(fsys fs.FS) (*tree, error) {
	t := &tree{packages: map[string]*pkg{}}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skip(fsys, name)
		}
		return t.add(fsys, name)
	})
	if err != nil {
		return nil, fmt.Errorf("load tree: %w", err)
	}
	return t, nil
}

func skip(fsys fs.FS, dir string) error {
	base := path.Base(dir)
	if dir == "." {
		return nil
	}
	if base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return fs.SkipDir
	}
	if _, err := fs.Stat(fsys, path.Join(dir, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

func (t *tree) add(fsys fs.FS, name string) error {
	switch path.Ext(name) {
	case ".go", ".c", ".h":
	default:
		return nil
	}
	text, err := fs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	if path.Ext(name) != ".go" {
		t.c = append(t.c, cFile{name, string(text)})
		return nil
	}
	fset := token.NewFileSet()
	syntax, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	dir := path.Dir(name)
	if t.packages[dir] == nil {
		t.packages[dir] = &pkg{dir: dir}
	}
	t.packages[dir].files = append(t.packages[dir].files, &goFile{
		path: name, lines: strings.Count(string(text), "\n"), test: strings.HasSuffix(name, "_test.go"),
		generated: ast.IsGenerated(syntax), fset: fset, syntax: syntax,
	})
	return nil
}

// whole reports whether this is the module itself, and no small tree that breaks a rule.
func (t *tree) whole() bool { return t.packages["internal/lab/archtest"] != nil }

// sorted returns the packages in the order of their directories.
func (t *tree) sorted() []*pkg {
	var ps []*pkg
	for _, dir := range slices.Sorted(maps.Keys(t.packages)) {
		ps = append(ps, t.packages[dir])
	}
	return ps
}

// imports returns the sorted import paths of the package, without or only of its tests.
func (p *pkg) imports(tests bool) []string {
	set := map[string]bool{}
	for _, f := range p.files {
		if f.test != tests {
			continue
		}
		for _, s := range f.syntax.Imports {
			if v, err := strconv.Unquote(s.Path.Value); err == nil {
				set[v] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// siblings returns those imports that are packages of this module, as directories.
func (p *pkg) siblings(tests bool) []string {
	var dirs []string
	for _, imp := range p.imports(tests) {
		if dir, ok := strings.CutPrefix(imp, module+"/"); ok {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// onlyTests reports whether the package is nothing but tests.
func (p *pkg) onlyTests() bool {
	return !slices.ContainsFunc(p.files, func(f *goFile) bool { return !f.test })
}

// reach returns every package that dir imports, directly or not, without tests,
// each with the way to it.
func (t *tree) reach(dir string) map[string][]string {
	ways := map[string][]string{}
	var visit func(dir string, way []string)
	visit = func(dir string, way []string) {
		p := t.packages[dir]
		if p == nil {
			return
		}
		for _, next := range p.siblings(false) {
			if _, seen := ways[next]; !seen {
				ways[next] = append(slices.Clone(way), next)
				visit(next, ways[next])
			}
		}
	}
	visit(dir, []string{dir})
	return ways
}
