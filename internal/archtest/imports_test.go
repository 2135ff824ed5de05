package archtest

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// row is what one package may import of this module, and why it is so where that
// does not go without saying.
type row struct {
	level int
	allow string // directories, separated by blanks
	why   string
}

// table is the whole list; anything absent is forbidden. A package stands above
// everything that it imports.
var table = map[string]row{
	"conformance":                     {0, "", "vectors are data that any implementation can import"},
	"digest":                          {0, "", ""},
	"manifest":                        {1, "digest", "a list of files is text; what is on disk is for others"},
	"sign":                            {0, "", "bytes are bytes: a message is verified before anybody parses it"},
	"internal/atomicfile":             {0, "", ""},
	"internal/decimal":                {0, "", "it reads a word; what is counted is for others"},
	"internal/bootparam":              {0, "", "it reads a line of text; what the words mean is for others"},
	"internal/ownership":              {0, "", "it looks at owners and permissions; what a file is for is for others"},
	"internal/policydir":              {1, "internal/ownership", "it finds files; what is in them is for others"},
	"internal/sysfilter":              {0, "", "system calls are numbers; who gives them up is for others"},
	"internal/kernelabi":              {0, "", "probes look at the kernel and know nothing of policies"},
	"internal/archtest":               {0, "", ""},
	"internal/built":                  {0, "", ""},
	"internal/await":                  {0, "", "it waits; what for is for others"},
	"internal/inorder":                {0, "", "it hands out tasks; what they are is for others"},
	"internal/journal":                {0, "", "priorities and fields; what happened is for others"},
	"internal/fairqueue":              {0, "", "it keeps values, whatever they are"},
	"internal/plain":                  {0, "", "it knows text, not what is said"},
	"policy/internal/lex":             {0, "", "it knows bytes, not what a word means"},
	"verity/merkle/internal/sha256x2": {0, "", "it knows bytes, not blocks"},
	"internal/pkcs11uri":              {0, "", "it reads a line of text; what it names is for others"},
	"internal/testvm/wire":            {0, "", "the guest's init is small: it shares nothing but this with the host"},

	"policy":            {1, "digest policy/internal/lex", ""},
	"internal/errno":    {2, "manifest policy sign", "numbers of errors; a sentinel brings its own, and those of public packages know none"},
	"internal/trust":    {1, "sign internal/ownership", ""},
	"internal/token":    {1, "internal/pkcs11uri", "what is signed is not its business"},
	"internal/roothash": {1, "digest internal/ownership", "who may sign is for the caller to say"},
	"internal/keyring":  {1, "sign internal/kernelabi", "the kernel as a verifier is none of an engine's business, nor control's: cmd/iped joins them"},
	"verity/merkle":     {1, "digest verity/merkle/internal/sha256x2", "trees know nothing of what is kept in them, nor of policies"},

	"policy/syntax":                 {2, "policy policy/internal/lex", "it holds a text; what that means is policy's to say"},
	"policy/lint":                   {2, "digest policy policy/internal/lex", "it looks at a policy; where that stands and who loads it is for others"},
	"eval":                          {2, "digest policy", "it must not see what enforces, or it could not be its oracle"},
	"verity/dmverity":               {2, "digest verity/merkle", "it meets policies only in digests"},
	"verity/fsverity":               {2, "digest verity/merkle", "as dmverity"},
	"internal/author/walk":          {2, "policy", "it finds files; to measure and seal them is for others"},
	"internal/author/walk/walktest": {0, "", ""},
	"internal/token/signer":         {2, "internal/pkcs11uri internal/token", "it needs cgo, so nothing but its program imports it"},
	"internal/store":                {3, "digest policy sign internal/atomicfile internal/errno internal/ownership", ""},
	"internal/store/storetest":      {2, "internal/atomicfile", ""},
	"internal/testvm":               {2, "internal/testvm/wire", "the harness must not depend on what it tests"},
	"internal/testvm/guestinit":     {2, "internal/testvm/wire", "it runs as process 1 of a guest"},

	"audit":                        {3, "digest policy eval", "records say what was decided; what to do with them is not their business"},
	"internal/fsioctl":             {3, "digest verity/fsverity internal/kernelabi", "kernelabi for the version that explains a refusal"},
	"internal/engine":              {3, "digest policy eval", "an engine reports decisions; what becomes of them is not its business"},
	"internal/ruletab":             {3, "digest policy eval", "only this package knows the layout that C reads"},
	"internal/devmapper":           {3, "digest verity/dmverity verity/merkle internal/decimal internal/kernelabi", "it makes devices of volumes; what a policy says of them is not its business; merkle for the errors of trees"},
	"internal/testvm/fetch":        {3, "internal/testvm", ""},
	"internal/testvm/vmtest":       {3, "internal/testvm", ""},
	"internal/testvm/oracle":       {3, "", "only tests: the kernel's own parser against ours"},
	"internal/cmd/genlayout":       {4, "digest policy eval internal/ruletab", ""},
	"internal/cmd/genbtf":          {4, "internal/engine/bpf/layouttest internal/engine/bpf/offsets internal/engine/bpf/offsets/offsetstest internal/testvm", "testvm has the packages of the kernels"},
	"internal/engine/proof":        {4, "policy eval internal/engine", "engines never see each other; this is what they share"},
	"internal/control/api":         {4, "policy eval sign audit internal/errno internal/plain", "what travels is nobody's inside: a client brings along nothing of what enforces, governs or stores"},
	"internal/control":             {5, "policy eval sign audit internal/control/api internal/errno internal/fairqueue internal/store internal/engine", "it drives the interface, never a concrete engine"},
	"internal/engine/bpf/offsets":  {0, "", "stored types have the same answers as those of the kernel that runs"},
	"internal/engine/bpf/ftrace":   {4, "internal/engine internal/kernelabi", "it keeps programs called, whatever they decide"},
	"internal/engine/bpf/record":   {4, "digest internal/engine internal/ruletab", "it decodes bytes, wherever they come from"},
	"internal/engine/bpf":          {5, "digest policy internal/engine internal/engine/proof internal/engine/bpf/ftrace internal/engine/bpf/offsets internal/engine/bpf/record internal/fsioctl internal/ruletab internal/kernelabi", "fsioctl for signatures of files that were in memory before it started"},
	"internal/engine/securityfs":   {5, "policy eval audit internal/engine internal/engine/proof internal/kernelabi", "audit for the kernel's records, which other engines do not have"},
	"internal/control/controltest": {5, "policy eval sign internal/control/api internal/engine", ""},

	"internal/engine/bpf/layouttest":          {0, "", ""},
	"internal/engine/bpf/offsets/offsetstest": {1, "internal/engine/bpf/offsets", ""},
	"internal/engine/enginetest":              {4, "audit sign", "it knows what is below it as files, records and system calls only"},
	"internal/engine/enginetest/probe":        {5, "internal/engine/enginetest", ""},
	"internal/differential":                   {5, "digest policy eval internal/decimal internal/engine/enginetest internal/testvm", "it boots what it compares, and never looks inside"},

	"internal/demo/row":       {0, "", "what guest and host tell each other"},
	"internal/demo/appliance": {3, "internal/demo/row internal/testvm", ""},
	"internal/demo":           {4, "internal/demo/row internal/demo/appliance internal/testvm", "it boots guests, because that is what it shows"},
	"internal/demo/agent":     {6, "digest policy eval internal/control/api internal/control/rpc/client internal/demo/row", "its expectations are the evaluator's"},

	"internal/preflight":          {6, "eval policy internal/control internal/control/api internal/engine", "engines say what there is, control what is to come; it compares"},
	"internal/peer":               {4, "audit", "socket and tree ask the same of a process; audit for whom records name"},
	"internal/auditsink":          {6, "policy audit internal/control internal/control/api internal/fairqueue internal/journal", "it takes what control records, to any place"},
	"internal/control/rpc/client": {5, "internal/control/api", "it asks; who answers, and how, is not its business"},
	"internal/control/rpc/server": {6, "sign audit internal/control internal/control/api internal/peer", "sign for how long a message may be"},
	"internal/controlfs":          {6, "audit internal/control internal/control/api internal/errno internal/peer", "files and numbers; what they do is control's"},

	"internal/cli/ui":        {3, "policy internal/atomicfile internal/errno internal/plain", "it is how ipe talks; what about is for the rooms. policy for the names of operations, errno for those of errors"},
	"internal/cli/ui/keys":   {4, "sign internal/cli/ui internal/pkcs11uri internal/plain internal/token", "it reads signers; what they sign is for the rooms"},
	"internal/cli/ui/daemon": {6, "internal/cli/ui internal/control/api internal/control/rpc/client internal/plain", "it asks iped; what for is for the rooms"},
	"internal/cli/files": {7, "digest policy sign internal/atomicfile internal/author/walk internal/cli/ui internal/cli/ui/keys internal/decimal internal/fsioctl internal/inorder internal/pkcs11uri internal/plain internal/trust manifest verity/fsverity verity/merkle",
		""},
	"internal/cli/machine":  {7, "policy sign audit internal/cli/ui internal/cli/ui/daemon internal/control/api internal/control/rpc/client internal/kernelabi internal/ownership internal/plain internal/trust", ""},
	"internal/cli/policies": {7, "digest policy eval sign internal/cli/ui internal/cli/ui/daemon internal/cli/ui/keys internal/control/api internal/control/rpc/client internal/plain internal/trust policy/lint policy/syntax", ""},
	"internal/cli/records":  {7, "audit internal/cli/ui internal/cli/ui/daemon internal/control/api internal/control/rpc/client internal/plain", ""},
	"internal/cli/volumes":  {7, "digest sign internal/cli/ui internal/cli/ui/keys internal/decimal internal/devmapper internal/plain internal/roothash verity/dmverity verity/merkle", "volumes need no iped"},
	"internal/cli":          {8, "internal/atomicfile internal/built internal/cli/files internal/cli/machine internal/cli/policies internal/cli/records internal/cli/ui internal/cli/ui/daemon internal/cli/volumes", "it builds the command tree; what commands do is for the rooms"},
	"internal/cli/clitest":  {9, "internal/cli internal/control internal/control/controltest internal/control/rpc/server internal/store", ""},

	"cmd/ipe":        {9, "internal/cli", "flag wiring is internal/cli's; this is the process around it"},
	"cmd/ipe-pkcs11": {3, "internal/token/signer", "as cmd/ipe"},
	"cmd/iped":       {8, "digest sign audit internal/auditsink internal/bootparam internal/built internal/control internal/control/api internal/control/rpc/server internal/controlfs internal/decimal internal/engine internal/engine/bpf internal/engine/securityfs internal/journal internal/kernelabi internal/keyring internal/ownership internal/plain internal/policydir internal/preflight internal/roothash internal/store internal/sysfilter internal/trust", "the one place that names engines"},
}

// never are the edges that must not exist by any way round, each with its reason.
var never = []struct{ from, to, why string }{
	{"verity/merkle", "policy", "a digest is the same whatever rule names it"},
	{"verity/dmverity", "policy", "as merkle"},
	{"verity/fsverity", "policy", "as merkle"},
	{"internal/devmapper", "policy", "as merkle"},
	{"eval", "internal/engine", "the evaluator is the oracle of engines"},
	{"sign", "policy", "bytes are verified before they are parsed"},
	{"policy", "sign", "a text has its meaning whoever signed it"},
	{"internal/ruletab", "internal/engine", "the tables are tested without a kernel"},
	{"internal/control", "internal/engine/bpf", "the life cycle is the same whatever enforces"},
	{"internal/control/rpc/server", "internal/engine/bpf", "as control"},
	{"internal/controlfs", "internal/engine/bpf", "as control"},
	{"internal/engine", "internal/store", "an engine takes a policy; where it was kept is not its business"},
	{"internal/engine/bpf", "internal/control", "an engine is driven, it does not drive"},
	{"internal/engine/securityfs", "internal/control", "as the BPF engine"},
	{"internal/engine/securityfs", "internal/engine/bpf", "engines never see each other"},
	{"internal/engine/bpf", "internal/engine/securityfs", "engines never see each other"},
	{"internal/preflight", "internal/engine/bpf", "its facts are whatever the engine says, or they would drift"},
	{"internal/control", "internal/engine/securityfs", "the life cycle is the same whatever enforces"},
	{"internal/cli", "internal/engine/securityfs", "ipe asks iped"},
	{"internal/cli", "internal/engine/bpf", "ipe asks iped; it never touches the kernel's hooks itself"},
	{"cmd/ipe", "internal/engine/bpf", "as cli"},
	{"cmd/ipe", "internal/token/signer", "a static program loads no module, and a module may crash"},
}

// checkTable holds every package against its row.
func checkTable(t *tree) (bad []string) {
	for _, p := range t.sorted() {
		r, ok := table[p.dir]
		if !ok {
			bad = append(bad, p.dir+": not in the table of import rules")
			continue
		}
		for _, to := range p.siblings(false) {
			if !slices.Contains(strings.Fields(r.allow), to) {
				bad = append(bad, fmt.Sprintf("%s: may not import %s %s", p.dir, to, reason(r.why)))
			}
		}
	}
	return bad
}

func reason(why string) string {
	if why == "" {
		return "(it is not in its row)"
	}
	return "(" + why + ")"
}

// checkLevels wants the table itself to run downhill, and to name what exists.
func checkLevels(t *tree) (bad []string) {
	for from, r := range table {
		if t.packages[from] == nil {
			bad = append(bad, from+": in the table of import rules, but there is no such package")
		}
		if r.level > maxLevel {
			bad = append(bad, fmt.Sprintf("%s: level %d, deeper than %d", from, r.level, maxLevel))
		}
		for to := range strings.FieldsSeq(r.allow) {
			if below, ok := table[to]; !ok || below.level >= r.level {
				bad = append(bad, fmt.Sprintf("%s: %s does not stand below it", from, to))
			}
		}
	}
	return bad
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

// testOnly reports whether a package is there for tests.
func testOnly(dir string) bool {
	for part := range strings.SplitSeq(dir, "/") {
		if part == "archtest" || part == "testvm" || part == "await" || strings.HasSuffix(part, "test") && part != "test" {
			return true
		}
	}
	return false
}

// usersOfTests are packages that are no tests and use the test harness all the
// same: the demonstration boots guests because that is what it shows. Nothing that
// is installed imports one of these.
var usersOfTests = []string{"internal/demo", "internal/differential", "internal/cmd/genbtf"}

func isUserOfTests(dir string) bool {
	return slices.ContainsFunc(usersOfTests, func(u string) bool { return dir == u || strings.HasPrefix(dir, u+"/") })
}

// checkTestOnly wants test packages imported by tests and by each other alone.
func checkTestOnly(t *tree) (bad []string) {
	for _, p := range t.sorted() {
		if testOnly(p.dir) || isUserOfTests(p.dir) {
			continue
		}
		for _, to := range p.siblings(false) {
			if testOnly(to) || isUserOfTests(to) {
				bad = append(bad, fmt.Sprintf("%s: imports %s, which is for tests, from a file that is none", p.dir, to))
			}
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
