package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite testdata/deps.txt")

// TestDependencies compares what the module and its programs depend on with the
// committed list, so that a new dependency is seen in review.
func TestDependencies(t *testing.T) {
	tr, err := loadTree(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	b.WriteString("# What this module depends on. Written by\n" +
		"#\tgo test ./internal/lab/archtest -run TestDependencies -update\n")
	b.WriteString("\n# Imported directly, and by whom.\n")
	writeDirect(&b, tr)
	for _, program := range []string{"cmd/ipe", "cmd/iped"} {
		fmt.Fprintf(&b, "\n# In %s.\n", program)
		for _, p := range linked(t, program) {
			if p.Module != nil && p.Module.Path != module {
				fmt.Fprintln(&b, p.ImportPath)
			}
		}
	}
	golden(t, filepath.Join("testdata", "deps.txt"), b.Bytes())
}

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-committed +now), see -update:\n%s", file, diff)
	}
}

// inTests stands for all packages that import something in their tests.
const inTests = "(tests)"

// writeDirect lists the packages of other modules with their importers.
func writeDirect(w io.Writer, tr *tree) {
	users := map[string][]string{}
	for _, p := range tr.sorted() {
		for _, imp := range p.imports(false) {
			users[imp] = append(users[imp], p.dir)
		}
		for _, imp := range p.imports(true) {
			if !slices.Contains(users[imp], inTests) {
				users[imp] = append(users[imp], inTests)
			}
		}
	}
	for _, imp := range slices.Sorted(maps.Keys(users)) {
		if !foreign(imp) {
			continue
		}
		fmt.Fprintln(w, imp)
		slices.Sort(users[imp])
		for _, u := range users[imp] {
			fmt.Fprintln(w, "\t"+u)
		}
	}
}

// foreign reports whether a package is neither ours nor the standard library's,
// whose paths have no dot in the first element.
func foreign(imp string) bool {
	first, _, _ := strings.Cut(imp, "/")
	return strings.Contains(first, ".") && imp != module && !strings.HasPrefix(imp, module+"/")
}

// listed is what the go command says of a package.
type listed struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Module     *struct{ Path string }
}

// linked returns the packages that end up in a program for Linux, sorted.
func linked(t *testing.T, dirs ...string) []listed {
	t.Helper()
	args := []string{"list", "-deps", "-json=ImportPath,Standard,Imports,Module"}
	for _, d := range dirs {
		args = append(args, module+"/"+d)
	}
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b listed) int { return strings.Compare(a.ImportPath, b.ImportPath) })
	return all
}

// foreignImpure are imports of other modules that public packages reach, and that
// do no more than their reason says.
var foreignImpure = map[string]string{
	"github.com/smallstep/pkcs7/internal/legacy/x509 net": "the type of an address in a certificate",
	"golang.org/x/crypto/blake2b golang.org/x/sys/cpu":    "which instructions the processor has",
	"golang.org/x/crypto/blake2s golang.org/x/sys/cpu":    "which instructions the processor has",
	"golang.org/x/sys/cpu os":                             "the same, on processors that only the kernel can ask",
	"golang.org/x/sys/cpu unsafe":                         "the same",
}

// TestPureDependencies holds what public packages import from other modules to
// the rule that holds for themselves. The standard library is taken as it is: its
// formatter and its certificates import os and net for what we do not use.
func TestPureDependencies(t *testing.T) {
	tr, err := loadTree(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	var dirs []string
	for dir := range tr.packages {
		if public(dir) {
			dirs = append(dirs, dir)
		}
	}
	for _, p := range linked(t, dirs...) {
		if p.Standard {
			continue
		}
		for _, imp := range p.Imports {
			if _, ok := foreignImpure[p.ImportPath+" "+imp]; isImpure(imp) && !ok {
				t.Errorf("public packages reach %s, which imports %s", p.ImportPath, imp)
			}
		}
	}
}
