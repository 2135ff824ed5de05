package cli_test

import (
	"io/fs"
	"os"
	"path/filepath"
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

// byGo matches names that Go quotes. A person reads a name as it is, unless it could command
// a terminal: package plain knows which.
var byGo = regexp.MustCompile(`%[.0-9]*q`)

// TestOnePrinterForNames: what people read names of files, policies, profiles and volumes in
// has them by package plain. The forms of files on disk are quoted whatever they hold.
func TestOnePrinterForNames(t *testing.T) {
	seen := 0
	for _, dir := range []string{".", "../control", "../daemon", "../engine/securityfs", "../linux/devmapper", "../author/token"} {
		err := filepath.WalkDir(dir, func(file string, _ fs.DirEntry, err error) error {
			other := strings.HasSuffix(file, "_test.go") || file == "man.go" || strings.HasPrefix(file, "clitest/") || strings.HasPrefix(file, "../control/store/")
			if err != nil || !strings.HasSuffix(file, ".go") || other {
				return err
			}
			seen++
			text, err := os.ReadFile(file)
			for i, line := range strings.Split(string(text), "\n") {
				if byGo.MatchString(line) && !strings.HasPrefix(strings.TrimSpace(line), "//") {
					t.Errorf("%s:%d has Go quote a name: %s", file, i+1, strings.TrimSpace(line))
				}
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	if seen < 150 {
		t.Errorf("only %d files", seen)
	}
}
