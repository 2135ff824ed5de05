package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// remedies is the one package below the faces that knows commands and options by name.
const remedies = "internal/hint"

// ours matches a command of ipe or an option, as a message would tell somebody to use it.
var ours = regexp.MustCompile(`\bipe (audit|dmverity|doctor|events|fsverity|mode|policy|profile|reload|status)\b|\biped? --[a-z]|(^|[\s(])--[a-z]{2}`)

// foreignOptions are those of other programs that a message names.
var foreignOptions = strings.NewReplacer("unshare --user", "")

// checkCommands wants what stands below the faces to name no command and no option: there
// may be another face. A program's own usage text is a face, too.
func checkCommands(t *tree) (bad []string) {
	for _, p := range t.sorted() {
		if w := wingOf(p.dir); w == nil || slices.Contains([]string{daemonFace, cliFace, lab}, w.name) || p.dir == remedies {
			continue
		}
		for _, f := range p.written() {
			if f.syntax.Name.Name == "main" {
				continue
			}
			for _, lit := range f.literals() {
				if ours.MatchString(foreignOptions.Replace(lit)) {
					bad = append(bad, fmt.Sprintf("%s: %q names a command or an option: %s has names for what a remedy may be", f.path, lit, remedies))
				}
			}
		}
	}
	return bad
}

// literals are the strings of a file but for import paths.
func (f *goFile) literals() (all []string) {
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.BasicLit:
			if s, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
				all = append(all, s)
			}
		}
		return true
	})
	return all
}

// TestRemediesExist holds each name of package hint against the commands and options that
// there are.
func TestRemediesExist(t *testing.T) {
	tr, err := loadTree(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	pages := commandPages(t)
	var options []string
	for _, text := range pages {
		options = append(options, optionsOf(text)...)
	}
	for _, f := range tr.packages["internal/daemon"].files {
		options = append(options, flagNames(f.syntax)...)
	}
	names := 0
	for _, f := range tr.packages[remedies].written() {
		for _, lit := range f.literals() {
			command, isCommand := strings.CutPrefix(lit, "ipe ")
			option, isOption := strings.CutPrefix(lit, "--")
			switch {
			case isCommand && pages[command] == "" && pages[parent(command)] == "":
				t.Errorf("%s: there is no command %q", f.path, lit)
			case isOption && !slices.Contains(options, option):
				t.Errorf("%s: there is no option %q", f.path, lit)
			}
			if isCommand || isOption {
				names++
			}
		}
	}
	if names == 0 {
		t.Errorf("found no name of a command or option in %s", remedies)
	}
}

// parent is a command without its last word, which may be an argument.
func parent(command string) string {
	i := strings.LastIndexByte(command, ' ')
	return command[:max(i, 0)]
}
