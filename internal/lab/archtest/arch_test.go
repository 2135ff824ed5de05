package archtest

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// rules are all of them. A check returns what breaks its rule.
var rules = map[string]func(*tree) []string{
	"wings":            checkWings,
	"house":            checkHouse,
	"depth":            checkDepth,
	"never":            checkNever,
	"rooms":            checkRooms,
	"what ipe holds":   checkAsk,
	"purity":           checkPure,
	"names":            checkNames,
	"file length":      checkFiles,
	"function length":  checkFuncs,
	"habit":            checkHabit,
	"init":             checkInit,
	"numbers":          checkNumbers,
	"commands":         checkCommands,
	"callers":          checkCallers,
	"test names":       checkTestNames,
	"parsers":          checkParsers,
	"walkers":          checkWalkers,
	"package comments": checkComments,
	"methods":          checkMethods,
	"packages":         checkPackages,
	"stability":        checkStability,
	"C functions":      checkC,
	"C licence":        checkLicence,
}

func TestTree(t *testing.T) {
	tr, err := loadTree(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	if !tr.whole() || len(tr.c) == 0 {
		t.Errorf("found %d packages and %d C files: is this the tree?", len(tr.packages), len(tr.c))
	}
	for name, check := range rules {
		t.Run(name, func(t *testing.T) {
			for _, problem := range check(tr) {
				t.Error(problem)
			}
		})
	}
}

// Each rule is shown a tree that breaks it, so that none can become blind.
func TestRulesBite(t *testing.T) {
	const body = "\n\tprintln()"
	long := func(n int) string { return "package p\n\nfunc f() {" + strings.Repeat(body, n) + "\n}\n" }
	tests := []struct {
		name, rule, file, text, want string
	}{
		{"package in no wing", "wings", "stray/a.go", "package stray", "stray: in no wing"},
		{"language on the machine", "wings", "eval/a.go", imports("eval", "internal/errno"), `eval: imports internal/errno, which the wing "A language" may not`},
		{"leaf that knows a wing", "wings", "internal/plain/a.go", imports("plain", "internal/linux/abi"), "internal/plain: imports internal/linux/abi"},
		{"import by a file of another system", "wings", "internal/linux/abi/a_windows.go", imports("abi", "internal/engine"), "internal/linux/abi: imports internal/engine"},
		{"engine that drives", "wings", "internal/engine/bpf/a.go", imports("bpf", "internal/control"), "internal/engine/bpf: imports internal/control"},
		{"life cycle of one engine", "wings", "internal/control/a.go", imports("control", "internal/engine/bpf"), "internal/control: imports internal/engine/bpf"},
		{"author that enforces", "wings", "internal/author/walk/a.go", imports("walk", "internal/control"), "internal/author/walk: imports internal/control"},
		{"daemon that writes policies", "wings", "internal/daemon/a.go", imports("daemon", "internal/author/walk"), "internal/daemon: imports internal/author/walk"},
		{"wing that is gone", "house", "digest/a.go", "package digest", `eval: held by the wing "A language", but`},
		{"forbidden edge", "never", "sign/a.go", imports("sign", "policy"), "sign reaches policy: sign -> policy"},
		{"room in a room", "rooms", "internal/cli/files/a.go", imports("files", "internal/cli/volumes"), "internal/cli/files: imports internal/cli/volumes"},
		{"room in what rooms share", "rooms", "internal/cli/ui/keys/a.go", imports("keys", "internal/cli/files"), "internal/cli/ui/keys: imports internal/cli/files"},
		{"room in the engine room", "wings", "internal/cli/files/a.go", imports("files", "internal/engine/bpf"), "internal/cli/files: imports internal/engine/bpf, which the wing"},
		{"daemon in a room", "wings", "internal/cli/records/a.go", imports("records", "internal/control"), "internal/cli/records: imports internal/control, which the wing"},
		{"daemon in ipe", "what ipe holds", "cmd/ipe/a.go", imports("main", "internal/control/rpc/server"), "cmd/ipe has internal/control/rpc/server in it"},
		{"harness in a program", "wings", "cmd/ipe/a.go", imports("main", "internal/lab/vm"), "cmd/ipe: imports internal/lab/vm"},
		{"fixture in a library", "wings", "internal/control/a.go", imports("control", "internal/control/store/storetest"), "imports internal/control/store/storetest"},
		{"demonstration in a program", "wings", "cmd/ipe/a.go", imports("main", "internal/lab/demo"), "cmd/ipe: imports internal/lab/demo"},
		{"file system in a public package", "purity", "policy/a.go", "package policy\nimport _ \"os/exec\"", "policy: imports os/exec"},
		{"socket in a public package", "purity", "sign/a.go", "package sign\nimport _ \"net/http\"", "sign: imports net/http"},
		{"system call in a public package", "purity", "digest/a.go", "package digest\nimport _ \"golang.org/x/sys/unix\"", "digest: imports golang.org/x/sys/unix"},
		{"public on internal", "purity", "eval/a.go", imports("eval", "internal/engine"), "rests on internal/engine"},
		{"empty name", "names", "internal/util/a.go", "package util", "internal/util: the name"},
		{"long file", "file length", "a/a.go", "package a\n" + strings.Repeat("\n", maxFile), "a/a.go: 401 lines"},
		{"long test file", "file length", "a/a_test.go", "package a\n" + strings.Repeat("\n", maxTestFile), "a/a_test.go: 1001 lines"},
		{"long function", "function length", "p/a.go", long(maxFunc + 1), "p/a.go: f has 81 lines"},
		{"functions that are long as a habit", "habit", "p/a.go", long(maxMedian + 1), "the median is 11"},
		{"public package that promises nothing", "stability", "p/a.go", "// Package p is a package of five words.\npackage p", "p: the package comment lacks a paragraph"},
		{"init", "init", "p/a.go", "package p\nfunc init() {}", "p/a.go: has an init function"},
		{"number as a flag", "numbers", "p/a.go", "package p\nvar _ = fl.IntVarP(&x, \"size\", \"s\", 1, \"\")", "p/a.go: line 2: takes 010 for 8"},
		{"number as a flag of 64 bits", "numbers", "p/a.go", "package p\nvar _ = flag.Uint64(\"size\", 1, \"\")", "takes 010 for 8"},
		{"number of any base", "numbers", "p/a.go", "package p\nvar _, _ = strconv.ParseInt(s, 0, 64)", "takes 010 for 8"},
		{"number that is scanned", "numbers", "p/a.go", "package p\nvar _, _ = fmt.Sscan(s, &n)", "takes 010 for 8"},
		{"name that nobody uses", "callers", "internal/linux/abi/a.go", "package abi\n\n// Limit is one.\nconst Limit = 1", "internal/linux/abi: Limit is exported, and nothing but tests uses it"},
		{"command below the faces", "commands", "internal/linux/abi/a.go", "package abi\nvar _ = \"run ipe policy load FILE\"", "internal/linux/abi/a.go: \"run ipe policy load FILE\" names a command"},
		{"option below the faces", "commands", "internal/engine/a.go", "package engine\nvar _ = \"use --force\"", "names a command or an option"},
		{"test that boots a machine", "test names", "p/a_test.go", testOf("TestX", "vmtest.RunPackage(t)"), "p/a_test.go: TestX: a test is called TestVM..."},
		{"test that boots none", "test names", "p/a_test.go", testOf("TestVMX", "println()"), "p/a_test.go: TestVMX: a test is called TestVM..."},
		{"test that needs a peer", "test names", "p/a_test.go", testOf("TestX", `exec.CommandContext(ctx, "veritysetup", "format")`), "is called TestPeer..."},
		{"parser without a fuzz target", "parsers", "p/a.go", "package p\n\nfunc parseThing(text []byte) {}\n", "p/a.go: parseThing parses"},
		{"listed parser that is gone", "parsers", "digest/a_test.go", "package digest\n\nfunc FuzzParse(f *testing.F) { digest.Parse(s) }\n", "digest: Parse is on the list of parsers, and gone"},
		{"fuzz target that is gone", "parsers", "digest/a.go", "package digest\n\nfunc Parse(s string) {}\n", "digest: the fuzz target FuzzParse of Parse is gone"},
		{"fuzz target of something else", "parsers", "digest/a_test.go", "package digest\n\nfunc FuzzParse(f *testing.F) { digest.New(s) }\n", "FuzzParse does not call Parse"},
		{"second walker", "walkers", "internal/author/seal/a.go", "package seal\nvar _ = filepath.WalkDir(dir, fn)", "internal/author/seal/a.go: line 2: walks a tree, as only internal/author/walk does"},
		{"second walker, by hand", "walkers", "internal/author/seal/a.go", "package seal\nvar _, _ = os.ReadDir(dir)", "internal/author/seal/a.go: line 2: lists a directory"},
		{"type of many methods", "methods", "p/a.go", "package p\n" + many(maxMethods+1, "func (t *T[int]) f%d() {}\n"), "p.T: 41 methods, more than 40"},
		{"long package", "packages", "p/a.go", "package p\n" + strings.Repeat("\n", maxLines), "p: 2501 lines, more than 2500"},
		{"package that imports many", "packages", "p/a.go", "package p\n" + many(maxSiblings+1, "import _ \""+module+"/p%d\"\n"), "p: 11 packages of this module that it imports, leaves aside, more than 10"},
		{"no comment", "package comments", "p/a.go", "package p", "p: no package comment"},
		{"comment that says nothing", "package comments", "p/a.go", "// Package p here.\npackage p", "p: the package comment"},
		{"comment of another name", "package comments", "p/a.go", "// Package q is there for one purpose.\npackage p", "p: the package comment"},
		{"command called a package", "package comments", "cmd/x/a.go", "// Package main is there for one purpose.\npackage main", `begin "Command x "`},
		{"long C function", "C functions", "bpf/a.c", "int f(int a,\n      int b)\n{\n" + strings.Repeat("\tg();\n", maxCFunc) + "}\n", "bpf/a.c: int f(int a, has 64 lines"},
		{"C without a licence", "C licence", "bpf/a.h", "#pragma once\n", "bpf/a.h: the first line"},
	}
	seen := map[string]bool{"depth": true} // see TestTooDeep
	for _, tt := range tests {
		seen[tt.rule] = true
		t.Run(tt.name, func(t *testing.T) {
			tr, err := loadTree(fstest.MapFS{tt.file: {Data: []byte(tt.text)}})
			if err != nil {
				t.Fatal(err)
			}
			got := rules[tt.rule](tr)
			if !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, tt.want) }) {
				t.Errorf("rule %q says %q, want %q", tt.rule, got, tt.want)
			}
		})
	}
	for name := range rules {
		if !seen[name] {
			t.Errorf("rule %q is shown no tree that breaks it", name)
		}
	}
}

// told is what a rule says of a small tree.
func told(t *testing.T, check func(*tree) []string, files fstest.MapFS) string {
	t.Helper()
	tr, err := loadTree(files)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(check(tr), "\n")
}

// What imports go deeper than they may is found.
func TestTooDeep(t *testing.T) {
	files := fstest.MapFS{}
	for i := range maxDepth + 1 {
		files[fmt.Sprintf("p%d/a.go", i)] = &fstest.MapFile{Data: []byte(imports("p", fmt.Sprintf("p%d", i+1)))}
	}
	if got, want := told(t, checkDepth, files), "p0: imports go 10 deep, more than 9"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// An exception to a budget fails when it is outgrown, and when it is higher than it need be.
func TestExceptions(t *testing.T) {
	b := budget{"rooms", 40, 10, map[string]int{"p": 70, "q": 70, "r": 70, "gone": 70}}
	got := b.check(map[string]int{"p": 70, "q": 71, "r": 60, "s": 41, "t": 40})
	want := []string{"q: 71 rooms, more than 70", "s: 41 rooms, more than 40", "r: 60 rooms, and its exception says 70: lower it, or take it away"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A package of too many files is found, too.
func TestTooManyFiles(t *testing.T) {
	files := fstest.MapFS{}
	for i := range maxFiles + 1 {
		files[fmt.Sprintf("p/f%d.go", i)] = &fstest.MapFile{Data: []byte("package p")}
	}
	if got, want := told(t, checkPackages, files), "p: 21 files, more than 20"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// An edge that is forbidden is found by way of others, too.
func TestNeverByWayOfOthers(t *testing.T) {
	got := told(t, checkNever, fstest.MapFS{
		"verity/merkle/a.go": {Data: []byte(imports("merkle", "digest"))},
		"digest/a.go":        {Data: []byte(imports("digest", "policy"))},
		"policy/a.go":        {Data: []byte("package policy")},
	})
	if want := "verity/merkle reaches policy: verity/merkle -> digest -> policy"; !strings.Contains(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What is no part of the tree is not held to its rules.
func TestLoadTreeSkips(t *testing.T) {
	tr, err := loadTree(fstest.MapFS{
		"a/testdata/x.go":   {Data: []byte("no Go at all")},
		".hidden/x.go":      {Data: []byte("no Go at all")},
		"tools/go.mod":      {Data: []byte("module other")},
		"tools/deep/x.go":   {Data: []byte("no Go at all")},
		"internal/ok/ok.go": {Data: []byte("package ok")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(tr.packages) != 1 || tr.packages["internal/ok"] == nil {
		t.Errorf("packages = %v, want internal/ok alone", tr.packages)
	}
}

// many repeats a line, numbered.
func many(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// testOf is a file with a test that does something by way of another function.
func testOf(name, does string) string {
	return "package p\n\nfunc " + name + "(t *testing.T) { other(t) }\n\nfunc other(t *testing.T) { " + does + " }\n"
}

// imports is a file that imports one package of this module.
func imports(name, dir string) string {
	return "package " + name + "\nimport _ \"" + module + "/" + dir + "\"\n"
}
