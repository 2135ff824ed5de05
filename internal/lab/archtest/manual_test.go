package archtest

import (
	"bytes"
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/internal/cli"
	"github.com/ipe-linux/ipe/internal/cli/ui"
)

// commandPages lets ipe describe itself: a page for each command that it has, by
// name ("policy check"). A group, which only holds others, is not among them.
func commandPages(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	var stderr bytes.Buffer
	if code := cli.Main([]string{"man", dir}, strings.NewReader(""), &bytes.Buffer{}, &stderr); code != ui.ExitOK {
		t.Fatalf("ipe man: exit status %d: %s", code, &stderr)
	}
	files, err := filepath.Glob(filepath.Join(dir, "ipe-*.1"))
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string]string{}
	for _, f := range files {
		stem := strings.TrimSuffix(f, ".1")
		if slices.ContainsFunc(files, func(other string) bool { return strings.HasPrefix(other, stem+"-") }) {
			continue
		}
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(filepath.Base(stem), "ipe-")
		pages[strings.ReplaceAll(name, "-", " ")] = string(text)
	}
	return pages
}

// optionsOf are the options of which a page of a command speaks, without dashes.
func optionsOf(page string) (all []string) {
	for _, m := range regexp.MustCompile(`\\-\\-([a-z0-9\\-]+)`).FindAllStringSubmatch(page, -1) {
		all = append(all, strings.ReplaceAll(m[1], `\`, ""))
	}
	return all
}

// item matches the heading of a command in ipe(1).
var item = regexp.MustCompile(`(?m)^\.It Nm Cm ([a-z ]*[a-z])`)

func manual(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "doc", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestManualOfIpe compares ipe(1) with the commands and options that there are.
func TestManualOfIpe(t *testing.T) {
	page := manual(t, "ipe.1")
	var documented, actual []string
	for _, m := range item.FindAllStringSubmatch(page, -1) {
		documented = append(documented, m[1])
	}
	for name, text := range commandPages(t) {
		actual = append(actual, name)
		for _, flag := range optionsOf(text) {
			if !regexp.MustCompile(`(Fl|\|) -` + flag + `\b`).MatchString(page) {
				t.Errorf("ipe(1) lacks --%s of ipe %s", flag, name)
			}
		}
	}
	slices.Sort(documented)
	slices.Sort(actual)
	if diff := cmp.Diff(actual, documented); diff != "" {
		t.Errorf("commands (-that there are +in ipe.1):\n%s", diff)
	}
}

// TestManualOfIped compares iped(8) with the options in the daemon's source.
func TestManualOfIped(t *testing.T) {
	tr, err := loadTree(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	page := manual(t, "iped.8")
	var synopsis, documented, actual []string
	for _, m := range regexp.MustCompile(`(?m)^\.Op Fl -([a-z-]+)`).FindAllStringSubmatch(page, -1) {
		synopsis = append(synopsis, m[1])
	}
	for _, m := range regexp.MustCompile(`(?m)^\.It Fl -([a-z-]+)`).FindAllStringSubmatch(page, -1) {
		documented = append(documented, m[1])
	}
	for _, f := range tr.packages["internal/daemon"].files {
		if !f.test {
			actual = append(actual, flagNames(f.syntax)...)
		}
	}
	slices.Sort(documented)
	slices.Sort(actual)
	slices.Sort(synopsis)
	if diff := cmp.Diff(actual, documented); diff != "" || len(actual) == 0 {
		t.Errorf("options (-that there are +in iped.8):\n%s", diff)
	}
	if diff := cmp.Diff(actual, synopsis); diff != "" {
		t.Errorf("options (-that there are +in the synopsis of iped.8):\n%s", diff)
	}
}

// TestTablesOfManuals: a cell that is wider than its column runs into the next one, and has no
// blank between.
func TestTablesOfManuals(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(root, "doc", "*.[1-9]"))
	if err != nil || len(pages) < 6 {
		t.Fatalf("%d manuals: %v", len(pages), err)
	}
	markup := strings.NewReplacer("Sy ", "", "Pa ", "", `\-`, "-")
	columns := regexp.MustCompile(`^\.Bl -column (".*")`)
	seen := 0
	for _, page := range pages {
		var widths []string
		for i, line := range strings.Split(manual(t, filepath.Base(page)), "\n") {
			if m := columns.FindStringSubmatch(line); m != nil {
				widths = strings.Split(strings.Trim(m[1], `"`), `" "`)
			}
			row, isRow := strings.CutPrefix(line, ".It ")
			if line == ".El" || line == ".Bl -bullet" {
				widths = nil
			}
			if widths == nil || !isRow {
				continue
			}
			seen++
			cells := strings.Split(markup.Replace(row), " Ta ")
			for n, cell := range cells[:len(cells)-1] {
				if n < len(widths) && len(strings.Trim(cell, `" `)) > len(widths[n]) {
					t.Errorf("%s:%d: %q is wider than its column, %q", filepath.Base(page), i+1, cell, widths[n])
				}
			}
		}
	}
	if seen < 30 {
		t.Errorf("only %d rows", seen)
	}
}

// flagNames returns the names that a file gives to a flag set called fs: the
// first string in each call of one of its methods that defines a flag.
func flagNames(file *ast.File) (names []string) {
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || !isIdent(sel.X, "fs") || !slices.Contains([]string{"StringVar", "BoolVar", "Func", "DurationVar", "Var"}, sel.Sel.Name) {
			return true
		}
		for _, arg := range call.Args {
			if lit, ok := arg.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if name, err := strconv.Unquote(lit.Value); err == nil {
					names = append(names, name)
				}
				break
			}
		}
		return true
	})
	return names
}

func isIdent(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}
