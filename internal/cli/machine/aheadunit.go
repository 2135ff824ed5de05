package machine

import (
	"bytes"
	"errors"
	"io/fs"
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
	// unsure: the command line has variables that are not known, so it may say something else.
	unsure bool
}

// kernelWord is the value of --trust for the kernel's keyrings.
const kernelWord = "kernel"

// trusts reads the unit and its drop-ins as systemd does. Without a command line it is
// that of the unit that is installed.
func (r road) trusts() (t unitTrust) {
	command := r.command()
	if len(command.words) == 0 {
		return unitTrust{paths: []string{trustDir}}
	}
	t.unsure = command.unsure
	for _, value := range command.values(hint.Trust) {
		t.add(value)
	}
	return t
}

// unitCommand is the command line of the service.
type unitCommand struct {
	words []string
	// unsure: it has variables that are not known here.
	unsure bool
}

// values are those of a flag, in their order.
func (c unitCommand) values(flag string) (all []string) {
	next := false
	for _, w := range c.words {
		name, value, has := strings.Cut(w, "=")
		is := name == flag || "-"+name == flag
		switch {
		case next:
			all = append(all, w)
			next = false
		case is && has:
			all = append(all, value)
		case is:
			next = true
		}
	}
	return all
}

// last is the value that counts of a flag of which there is one; empty if there is none.
func (c unitCommand) last(flag string) string {
	if all := c.values(flag); len(all) > 0 {
		return all[len(all)-1]
	}
	return ""
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

// command is the command line that counts, with what its variables stand for.
func (r road) command() (c unitCommand) {
	start, known := r.execStart()
	for _, w := range unitWords(start) {
		name, isVariable := variable(w)
		switch value, ok := known.value(name); {
		case !isVariable && strings.ContainsAny(w, "$%"), isVariable && !ok:
			c.words, c.unsure = append(c.words, w), true
		case isVariable:
			c.words = append(c.words, unitWords(value)...)
		default:
			c.words = append(c.words, w)
		}
	}
	return c
}

// variable is the name of a variable that is a word of its own, which becomes as many
// words as it has: see systemd.service(5), Command lines.
func variable(word string) (name string, ok bool) {
	name, ok = strings.CutPrefix(word, "$")
	return name, ok && name != "" && !strings.ContainsAny(name, "${}%")
}

// environment is what the unit says of variables.
type environment struct {
	set map[string]string
	// files: there are files of it. What is in none of them is empty then.
	files bool
}

func (e environment) value(name string) (string, bool) {
	value, ok := e.set[name]
	return value, ok || e.files
}

// execStart is the command line as it is written, the last one of those since it was
// emptied, and what variables stand for in it.
func (r road) execStart() (command string, e environment) {
	e.set = map[string]string{}
	var files []string
	for _, o := range r.serviceOptions() {
		switch o.Name {
		case "ExecStart":
			command = o.Value
		case "EnvironmentFile":
			if o.Value == "" {
				files = nil
				continue
			}
			files = append(files, strings.TrimPrefix(o.Value, "-"))
		case "Environment":
			if o.Value == "" {
				clear(e.set)
			}
			for _, w := range unitWords(o.Value) {
				name, value, _ := strings.Cut(w, "=")
				e.set[name] = value
			}
		}
	}
	e.files = len(files) > 0
	for _, f := range files { // what they say counts more, whatever is written first
		text, err := os.ReadFile(r.at(f))
		if err == nil {
			maps.Copy(e.set, variablesIn(string(text)))
		} else if !errors.Is(err, fs.ErrNotExist) {
			e.files = false // it may say anything
		}
	}
	return command, e
}

// variablesIn reads a file of variables: a line "NAME=VALUE" each, with or without quotes.
// Blanks around a value are not of it, unless they are in quotes: see systemd.exec(5).
func variablesIn(text string) map[string]string {
	set := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		name, value, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		value = strings.TrimSpace(value)
		for _, quote := range []string{`"`, "'"} {
			if inner, ok := strings.CutPrefix(value, quote); ok && strings.HasSuffix(inner, quote) {
				value = strings.TrimSuffix(inner, quote)
				break
			}
		}
		set[strings.TrimSpace(name)] = value
	}
	return set
}

// serviceOptions are those of the section Service, of the unit and its drop-ins.
func (r road) serviceOptions() (all []*unit.UnitOption) {
	for _, file := range r.unitFiles() {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // systemd goes on without it, too
		}
		options, _ := unit.DeserializeOptions(bytes.NewReader(text)) // those before an error count
		for _, o := range options {
			if o.Section == "Service" {
				all = append(all, o)
			}
		}
	}
	return all
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
	var quote byte
	begun := false
	for i := range len(command) + 1 {
		c := byte(' ') // behind the last word
		if i < len(command) {
			c = command[i]
		}
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
			word.WriteByte(c)
		}
	}
	return words
}
