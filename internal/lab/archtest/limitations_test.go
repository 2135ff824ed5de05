package archtest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// standIns is the section of LIMITATIONS.md whose table says what stands in for what
// only a kernel can do, and by which test that shows.
const standIns = "## What only a kernel could do, and what is done instead"

// minStandIns is how many points there are at least.
const minStandIns = 11

var testName = regexp.MustCompile("`(Test[A-Za-z0-9_]*)`")

// tableOf returns the cells of the table below a heading, without its head.
func tableOf(text, heading string) (rows [][]string) {
	_, section, _ := strings.Cut(text, heading+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for line := range strings.Lines(section) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "| ---") || strings.HasPrefix(line, "| point |") {
			continue
		}
		var cells []string
		for cell := range strings.SplitSeq(strings.Trim(line, "|"), " | ") {
			cells = append(cells, strings.TrimSpace(cell))
		}
		rows = append(rows, cells)
	}
	return rows
}

// unshown returns what is wrong with a table of stand-ins: rows that name no test, and
// tests that do not exist.
func unshown(rows [][]string, tests map[string]bool) (bad []string) {
	for _, row := range rows {
		if len(row) != 3 {
			bad = append(bad, row[0]+": not three columns")
			continue
		}
		named := testName.FindAllStringSubmatch(row[2], -1)
		if len(named) == 0 && row[2] != "nothing yet" {
			bad = append(bad, row[0]+": names no test")
		}
		for _, m := range named {
			if !tests[m[1]] {
				bad = append(bad, row[0]+": there is no "+m[1])
			}
		}
	}
	return bad
}

// TestLimitationsAreShown wants each of the stand-ins to have a test, or to say that it
// has none.
func TestLimitationsAreShown(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "LIMITATIONS.md"))
	if err != nil {
		t.Fatal(err)
	}
	tr, err := loadTree(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	for _, p := range tr.sorted() {
		for _, f := range p.files {
			for fn := range f.funcs {
				tests[fn.Name.Name] = tests[fn.Name.Name] || f.test && fn.Recv == nil
			}
		}
	}
	rows := tableOf(string(text), standIns)
	if len(rows) < minStandIns {
		t.Errorf("%d points, want %d at least", len(rows), minStandIns)
	}
	for _, b := range unshown(rows, tests) {
		t.Error(b)
	}
}

// TestUnshown shows the check a table that breaks its rules.
func TestUnshown(t *testing.T) {
	text := "x\n" + standIns + "\n\n| point | instead | shown by |\n| --- | --- | --- |\n| a | b | `TestA` and `TestGone` |\n| b | c | a look |\n| c | d |\n| d | e | nothing yet |\n\n## Next\n\n| e |\n"
	got := strings.Join(unshown(tableOf(text, standIns), map[string]bool{"TestA": true}), "; ")
	if want := "a: there is no TestGone; b: names no test; c: not three columns"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
