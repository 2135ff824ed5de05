package archtest

import (
	"fmt"
	"maps"
	"slices"
)

// Budgets of types and packages. Tests and generated files are exempt.
const (
	maxMethods  = 40
	maxFiles    = 20
	maxLines    = 2500
	maxDepth    = 9 // how deep imports go
	maxSiblings = 10
)

// A budget has the exceptions that are left, each with its number of today, rounded up to
// whole steps. A number that outgrows its exception fails, and so does an exception that is
// a step higher than it need be: they only go down.
type budget struct {
	what        string
	limit, step int
	over        map[string]int
}

var (
	methods      = budget{"methods", maxMethods, 1, map[string]int{}}
	packageFiles = budget{"files", maxFiles, 1, map[string]int{}}
	packageLines = budget{"lines", maxLines, 100, map[string]int{}}
	siblings     = budget{"packages of this module that it imports, leaves aside", maxSiblings, 1, map[string]int{
		"internal/daemon": 19, // it joins everything
	}}
)

// check compares what was counted with the budget.
func (b budget) check(counted map[string]int) (bad []string) {
	for _, name := range slices.Sorted(maps.Keys(counted)) {
		n, allowed := counted[name], b.limit
		if more, ok := b.over[name]; ok {
			allowed = more
		}
		if n > allowed {
			bad = append(bad, fmt.Sprintf("%s: %d %s, more than %d", name, n, b.what, allowed))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.over)) {
		if n, ok := counted[name]; ok && (n <= b.limit || n <= b.over[name]-b.step) {
			bad = append(bad, fmt.Sprintf("%s: %d %s, and its exception says %d: lower it, or take it away", name, n, b.what, b.over[name]))
		}
	}
	return bad
}

// checkMethods holds types to their budget of methods.
func checkMethods(t *tree) []string {
	counted := map[string]int{}
	for _, p := range t.sorted() {
		for _, f := range p.written() {
			for fn := range f.funcs {
				if fn.Recv != nil {
					counted[p.dir+"."+receiver(fn)]++
				}
			}
		}
	}
	return methods.check(counted)
}

// checkPackages holds packages to their budgets of files, lines and imports.
func checkPackages(t *tree) []string {
	files, lines, imports := map[string]int{}, map[string]int{}, map[string]int{}
	for _, p := range t.sorted() {
		for _, f := range p.written() {
			files[p.dir]++
			lines[p.dir] += f.lines
		}
		if !forTests(p.dir) {
			imports[p.dir] = len(slices.DeleteFunc(p.siblings(false), isLeaf))
		}
	}
	return slices.Concat(packageFiles.check(files), packageLines.check(lines), siblings.check(imports))
}

// isLeaf reports whether a package is one that knows no other wing: to import it joins
// nothing.
func isLeaf(dir string) bool {
	w := wingOf(dir)
	return w != nil && w.name == leaves
}

// written are the files that people write, without tests.
func (p *pkg) written() (files []*goFile) {
	for _, f := range p.files {
		if !f.test && !f.generated {
			files = append(files, f)
		}
	}
	return files
}
