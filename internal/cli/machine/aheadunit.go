package machine

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/unit"

	"github.com/ipe-linux/ipe/internal/hint"
)

// unitTrust is whom the service's command line trusts.
type unitTrust struct {
	// paths are those of certificates; kernel says that the kernel's keyrings count as well.
	paths  []string
	kernel bool
	// unsure: the command line has variables, so it may say something else.
	unsure bool
}

// kernelWord is the value of --trust for the kernel's keyrings.
const kernelWord = "kernel"

// trusts reads the unit and its drop-ins as systemd does. Without a command line it is
// that of the unit that is installed.
func (r road) trusts() (t unitTrust) {
	command := r.execStart()
	if command == "" {
		return unitTrust{paths: []string{trustDir}}
	}
	next := false
	for _, w := range unitWords(command) {
		t.unsure = t.unsure || strings.ContainsAny(w, "$%")
		name, value, has := strings.Cut(w, "=")
		isTrust := name == hint.Trust || "-"+name == hint.Trust
		switch {
		case next:
			t.add(w)
			next = false
		case isTrust && has:
			t.add(value)
		case isTrust:
			next = true
		}
	}
	return t
}

func (t *unitTrust) add(value string) {
	if value == kernelWord {
		t.kernel = true
		return
	}
	t.paths = append(t.paths, value)
}

// whoElse says who may vouch besides certificates.
func (t unitTrust) whoElse() string {
	if t.kernel {
		return "the service has " + hint.TrustKernel + ", and the kernel, which is not asked here, says whether it takes them"
	}
	return "the command line of " + unitName + " has variables, so it may trust others"
}

// execStart is the command line that counts: the last one, of those since it was emptied.
func (r road) execStart() (command string) {
	for _, file := range r.unitFiles() {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // systemd goes on without it, too
		}
		options, _ := unit.DeserializeOptions(bytes.NewReader(text)) // those before an error count
		for _, o := range options {
			if o.Section == "Service" && o.Name == "ExecStart" {
				command = o.Value
			}
		}
	}
	return command
}

// unitFiles are the unit and its drop-ins, in the order in which they are read. Of files of
// one name, that in the first directory counts.
func (r road) unitFiles() (files []string) {
	dropIns := map[string]string{}
	for _, dir := range slices.Backward(unitDirs) {
		if unit := r.at(filepath.Join(dir, unitName)); exists(unit) {
			files = []string{unit}
		}
		found, _ := filepath.Glob(filepath.Join(r.at(dir), unitName+".d", "*.conf")) // the pattern is good
		for _, f := range found {
			dropIns[filepath.Base(f)] = f
		}
	}
	for _, name := range slices.Sorted(maps.Keys(dropIns)) {
		files = append(files, dropIns[name])
	}
	return files
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// unitWords are the words of a command line of a unit: blanks separate them, but in quotes.
func unitWords(command string) (words []string) {
	var word strings.Builder
	var quote rune
	begun := false
	for _, c := range command + " " {
		switch {
		case quote == 0 && (c == '"' || c == '\'') && !begun:
			quote, begun = c, true
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == ' ' || c == '\t'):
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
		default:
			begun = true
			word.WriteRune(c)
		}
	}
	return words
}
