package archtest

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// wing is a part of the house: what stands in it, and what that may import besides itself
// and what is below it. Everything else is forbidden.
type wing struct {
	name string
	// holds are directories. What is below one of them is in the wing, too, unless another
	// wing has a longer one.
	holds []string
	// may are names of wings, or directories of which it may import the very package.
	may []string
	why string
}

// Names of wings that others name.
const (
	language = "A language"
	leaves   = "leaves"
	linux    = "B linux"
	engines  = "C engine"
	governs  = "D control"
	author   = "E author"
	// The two faces have a command line, and may speak of it.
	daemonFace = "G daemon"
	cliFace    = "G cli"
	lab        = "H lab"
)

// wings are all of them. To ask iped is to import the two packages of control that have
// nothing of its inside.
var wings = []wing{
	{language, []string{"audit", "conformance", "digest", "eval", "manifest", "policy", "sign", "verity"}, nil,
		"third parties must be able to trust it blind"},
	{leaves, []string{"internal/atomicfile", "internal/built", "internal/decimal", "internal/eintr", "internal/errno", "internal/hint", "internal/inorder", "internal/ownership",
		"internal/plain", "internal/profile", "internal/roothash", "internal/strict", "internal/trust"}, []string{language},
		"what anybody may import knows nobody"},
	{linux, []string{"internal/linux"}, []string{language, leaves},
		"a probe must not know who asks"},
	{engines, []string{"internal/engine", "internal/ruletab"}, []string{language, leaves, linux},
		"an engine is driven, it does not drive"},
	{governs, []string{"internal/control"}, []string{language, leaves, "internal/engine"},
		"the life cycle is the same whatever enforces"},
	{author, []string{"internal/author"}, slices.Concat([]string{language, leaves, linux}, talk),
		"these tools work where nothing is enforced"},
	{daemonFace, []string{"internal/daemon", "cmd/iped"}, []string{language, leaves, linux, engines, governs},
		"iped enforces; to write policies is for others"},
	{cliFace, []string{"internal/cli", "cmd/ipe", "cmd/ipe-pkcs11"}, slices.Concat([]string{language, leaves, linux, author}, talk),
		"ipe asks iped"},
	{lab, []string{"internal/lab"}, []string{"*"},
		"it proves, and is not shipped"},
}

// wingOf returns the wing that a package is in. Packages for tests of others, called
// ...test, are of the laboratory wherever they stand.
func wingOf(dir string) *wing {
	if strings.HasSuffix(path.Base(dir), "test") {
		return &wings[len(wings)-1]
	}
	var best *wing
	longest := -1
	for i, w := range wings {
		for _, top := range w.holds {
			if within(dir, top) && len(top) > longest {
				best, longest = &wings[i], len(top)
			}
		}
	}
	return best
}

func (w *wing) allows(to string) bool {
	other := wingOf(to)
	return other == w || other != nil && slices.Contains(w.may, other.name) || slices.Contains(w.may, to) || slices.Contains(w.may, "*")
}

// checkWings holds every package to what its wing may import.
func checkWings(t *tree) (bad []string) {
	for _, p := range t.sorted() {
		w := wingOf(p.dir)
		if w == nil {
			bad = append(bad, p.dir+": in no wing")
			continue
		}
		for _, to := range p.siblings(false) {
			if !w.allows(to) {
				bad = append(bad, fmt.Sprintf("%s: imports %s, which the wing %q may not (%s)", p.dir, to, w.name, w.why))
			}
		}
	}
	return bad
}

// checkHouse wants the directories of wings to exist.
func checkHouse(t *tree) (bad []string) {
	dirs := slices.Collect(maps.Keys(t.packages))
	for _, w := range wings {
		for _, top := range w.holds {
			if !slices.ContainsFunc(dirs, func(dir string) bool { return within(dir, top) }) {
				bad = append(bad, fmt.Sprintf("%s: held by the wing %q, but there is no such package", top, w.name))
			}
		}
	}
	return bad
}

// checkDepth wants imports to go no deeper than maxDepth.
func checkDepth(t *tree) (bad []string) {
	depth := map[string]int{}
	var visit func(dir string) int
	visit = func(dir string) int {
		p := t.packages[dir]
		if n, ok := depth[dir]; ok || p == nil {
			return n
		}
		depth[dir] = 0 // Go itself refuses a cycle
		for _, to := range p.siblings(false) {
			depth[dir] = max(depth[dir], visit(to)+1)
		}
		return depth[dir]
	}
	for _, p := range t.sorted() {
		if n := visit(p.dir); n > maxDepth {
			bad = append(bad, fmt.Sprintf("%s: imports go %d deep, more than %d", p.dir, n, maxDepth))
		}
	}
	return bad
}

// forTests reports whether a package is of the laboratory.
func forTests(dir string) bool {
	w := wingOf(dir)
	return w != nil && w.name == lab
}

// never are the edges within wings that must not exist by any way round, each with its
// reason.
var never = []struct{ from, to, why string }{
	{"verity/merkle", "policy", "a digest is the same whatever rule names it"},
	{"verity/dmverity", "policy", "as merkle"},
	{"verity/fsverity", "policy", "as merkle"},
	{"internal/linux/devmapper", "policy", "as merkle"},
	{"internal/engine", "internal/engine/bpf", "an interface knows nothing of what fulfils it"},
	{"internal/engine", "internal/engine/securityfs", "as the BPF engine"},
	{"internal/control/api", "internal/control", "a client brings along nothing of what governs"},
	{"internal/control/rpc/client", "internal/control", "as control/api"},
	{"sign", "policy", "bytes are verified before they are parsed"},
	{"policy", "sign", "a text has its meaning whoever signed it"},
	{"internal/ruletab", "internal/engine", "the tables are tested without a kernel"},
	{"internal/control", "internal/engine/bpf", "the life cycle is the same whatever enforces"},
	{"internal/control/rpc/server", "internal/engine/bpf", "as control"},
	{"internal/control/fs", "internal/engine/bpf", "as control"},
	{"internal/engine/securityfs", "internal/engine/bpf", "engines never see each other"},
	{"internal/engine/bpf", "internal/engine/securityfs", "engines never see each other"},
	{"internal/control/preflight", "internal/engine/bpf", "its facts are whatever the engine says, or they would drift"},
	{"internal/control", "internal/engine/securityfs", "the life cycle is the same whatever enforces"},
	{"cmd/ipe", "internal/author/token/signer", "a static program loads no module, and a module may crash"},
}

// checkNever looks for forbidden edges, also those by way of others.
func checkNever(t *tree) (bad []string) {
	for _, edge := range never {
		if way := t.reach(edge.from)[edge.to]; way != nil {
			bad = append(bad, fmt.Sprintf("%s reaches %s: %s (%s)", edge.from, edge.to, strings.Join(way, " -> "), edge.why))
		}
	}
	return bad
}

// impure are the packages through which a program acts on its surroundings.
var impure = []string{"os", "net", "syscall", "unsafe", "log", "plugin", "runtime/debug", "golang.org/x/sys", "C"}

// pureExceptions are imports that sound like more than they do.
var pureExceptions = map[string]string{
	"net/url":   "parses text",
	"net/netip": "a value type",
}

// public reports whether others can import the package.
func public(dir string) bool {
	return !strings.HasPrefix(dir+"/", "internal/") && !strings.HasPrefix(dir, "cmd/")
}

// checkPure wants public packages to open nothing, and to rest on public ones.
func checkPure(t *tree) (bad []string) {
	for _, p := range t.sorted() {
		if !public(p.dir) {
			continue
		}
		for _, imp := range p.imports(false) {
			if isImpure(imp) {
				bad = append(bad, fmt.Sprintf("%s: imports %s, and public packages are pure", p.dir, imp))
			}
			if dir, ok := strings.CutPrefix(imp, module+"/"); ok && !public(dir) {
				bad = append(bad, fmt.Sprintf("%s: is public and rests on %s, which is not", p.dir, dir))
			}
		}
	}
	return bad
}

func isImpure(imp string) bool {
	if _, ok := pureExceptions[imp]; ok {
		return false
	}
	return slices.ContainsFunc(impure, func(i string) bool { return imp == i || strings.HasPrefix(imp, i+"/") })
}

// badNames are package names that say nothing.
var badNames = []string{"util", "utils", "common", "helper", "helpers", "types", "manager", "misc", "base"}

func checkNames(t *tree) (bad []string) {
	for _, p := range t.sorted() {
		if slices.Contains(badNames, path.Base(p.dir)) {
			bad = append(bad, p.dir+": the name says nothing")
		}
	}
	return bad
}
