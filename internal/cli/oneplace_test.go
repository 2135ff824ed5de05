package cli_test

import (
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// byItself matches what writes to standard error, or to any stream of the process, without
// package ui.
var byItself = regexp.MustCompile(`Fprint.*stderr,|os\.(Stdin|Stdout|Stderr)\b`)

// TestOnePlaceForMessages: whatever writes to standard error by itself forgets names that
// command terminals, or JSON. Package ui does it for all rooms, in three places: for messages,
// for what is wrong with a text, and for a line of progress, which is none with --json.
func TestOnePlaceForMessages(t *testing.T) {
	places := []string{"ui/messages.go", "ui/source.go", "ui/progress.go"}
	seen := 0
	err := fs.WalkDir(os.DirFS("."), ".", func(file string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") || slices.Contains(places, file) {
			return err
		}
		seen++
		text, err := os.ReadFile(file)
		for i, line := range strings.Split(string(text), "\n") {
			if byItself.MatchString(line) {
				t.Errorf("%s:%d writes to standard error by itself: %s", file, i+1, strings.TrimSpace(line))
			}
		}
		return err
	})
	if err != nil || seen < 20 {
		t.Errorf("%d files: %v", seen, err)
	}
}
