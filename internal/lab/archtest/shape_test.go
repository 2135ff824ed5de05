package archtest

import (
	"fmt"
	"go/ast"
	"regexp"
	"slices"
	"strings"
)

// Budgets, in lines. Generated files are exempt.
const (
	maxFile     = 400
	maxTestFile = 1000
	maxFunc     = 80
	maxTestFunc = 150 // many are tables
	maxCFunc    = 60
	maxMedian   = 10
	maxP90      = 40
)

// checkFiles holds files to their budget.
func checkFiles(t *tree) (bad []string) {
	for f := range t.own {
		limit := maxFile
		if f.test {
			limit = maxTestFile
		}
		if f.lines > limit {
			bad = append(bad, fmt.Sprintf("%s: %d lines, more than %d", f.path, f.lines, limit))
		}
	}
	return bad
}

// own yields the Go files that people write.
func (t *tree) own(yield func(*goFile) bool) {
	for _, p := range t.sorted() {
		for _, f := range p.files {
			if !f.generated && !yield(f) {
				return
			}
		}
	}
}

// checkFuncs holds functions to their budget.
func checkFuncs(t *tree) (bad []string) {
	for f := range t.own {
		limit := maxFunc
		if f.test {
			limit = maxTestFunc
		}
		for fn := range f.funcs {
			if n := f.length(fn); n > limit {
				bad = append(bad, fmt.Sprintf("%s: %s has %d lines, more than %d", f.path, fn.Name.Name, n, limit))
			}
		}
	}
	return bad
}

// funcs yields the functions and methods of a file.
func (f *goFile) funcs(yield func(*ast.FuncDecl) bool) {
	for _, d := range f.syntax.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && !yield(fn) {
			return
		}
	}
}

// length counts the lines between the braces of a function; 1 if it has but one line.
func (f *goFile) length(fn *ast.FuncDecl) int {
	if fn.Body == nil {
		return 0
	}
	return max(f.fset.Position(fn.Body.Rbrace).Line-f.fset.Position(fn.Body.Lbrace).Line-1, 1)
}

// checkHabit holds the lengths of all functions but tests together to the budget
// that good code keeps: most are short, and one in ten is long.
func checkHabit(t *tree) (bad []string) {
	var all []int
	for f := range t.own {
		if f.test {
			continue
		}
		for fn := range f.funcs {
			all = append(all, f.length(fn))
		}
	}
	if len(all) == 0 {
		return nil
	}
	slices.Sort(all)
	if m := all[len(all)/2]; m > maxMedian {
		bad = append(bad, fmt.Sprintf("half of all functions have more than %d lines: the median is %d", maxMedian, m))
	}
	if p := all[len(all)*9/10]; p > maxP90 {
		bad = append(bad, fmt.Sprintf("one function in ten has more than %d lines: %d", maxP90, p))
	}
	return bad
}

// checkInit forbids init functions: importing a package has no effect.
func checkInit(t *tree) (bad []string) {
	for f := range t.own {
		for fn := range f.funcs {
			if fn.Recv == nil && fn.Name.Name == "init" {
				bad = append(bad, f.path+": has an init function; importing a package has no effect here")
			}
		}
	}
	return bad
}

// checkComments wants one comment a package, beginning as godoc wants it, and a
// sentence long at least.
func checkComments(t *tree) (bad []string) {
	for _, p := range t.sorted() {
		switch docs := p.comments(); {
		case len(docs) == 0:
			bad = append(bad, p.dir+": no package comment")
		case len(docs) > 1:
			bad = append(bad, fmt.Sprintf("%s: %d package comments", p.dir, len(docs)))
		case !strings.HasPrefix(docs[0], p.title()) || len(strings.Fields(docs[0])) < 5:
			bad = append(bad, fmt.Sprintf("%s: the package comment does not begin %q and say what it is for", p.dir, p.title()))
		}
	}
	return bad
}

// checkStability wants each package that others can import to say what of it stays.
func checkStability(t *tree) (bad []string) {
	for _, p := range t.sorted() {
		hidden := strings.Contains("/"+p.dir+"/", "/internal/")
		if docs := p.comments(); public(p.dir) && !hidden && len(docs) > 0 && !strings.Contains(docs[0], "\nStability: this is version ") {
			bad = append(bad, p.dir+": the package comment lacks a paragraph \"Stability: this is version ...\"")
		}
	}
	return bad
}

// comments returns the comments on package clauses. A package of tests alone has
// them in a test file.
func (p *pkg) comments() (docs []string) {
	for _, f := range p.files {
		if f.generated || f.syntax.Doc == nil || f.test && !p.onlyTests() {
			continue
		}
		if text := f.syntax.Doc.Text(); strings.TrimSpace(text) != "" {
			docs = append(docs, text)
		}
	}
	return docs
}

func (p *pkg) title() string {
	name := p.files[0].syntax.Name.Name
	if name == "main" {
		return "Command " + p.dir[strings.LastIndex(p.dir, "/")+1:] + " "
	}
	return "Package " + strings.TrimSuffix(name, "_test") + " "
}

// cHead matches the head of a C function in the kernel's style: its body opens
// with a brace in the first column of the next line.
var cHead = regexp.MustCompile(`(?m)^[^\s#/*}{][^;{}]*\)\n\{\n`)

// checkC holds C functions to their budget.
func checkC(t *tree) (bad []string) {
	for _, f := range t.c {
		for _, at := range cHead.FindAllStringIndex(f.text, -1) {
			head, body := f.text[at[0]:at[1]], f.text[at[1]:]
			end := strings.Index(body, "\n}\n")
			if end < 0 {
				end = len(body)
			}
			if n := strings.Count(head, "\n") + strings.Count(body[:end], "\n") + 2; n > maxCFunc {
				name, _, _ := strings.Cut(head, "\n")
				bad = append(bad, fmt.Sprintf("%s: %s has %d lines, more than %d", f.path, name, n, maxCFunc))
			}
		}
	}
	return bad
}

// licence is what every C file begins with.
const licence = "SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause"

// checkLicence wants the licence of the kernel side in its files, so that the
// object may call what only free programs may.
func checkLicence(t *tree) (bad []string) {
	for _, f := range t.c {
		first, _, _ := strings.Cut(f.text, "\n")
		if !strings.Contains(first, licence) {
			bad = append(bad, fmt.Sprintf("%s: the first line lacks %q", f.path, licence))
		}
	}
	return bad
}
