package archtest

import (
	"fmt"
	"go/ast"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// reader is a function that reads what others wrote, and the fuzz target that calls it.
type reader struct{ dir, function, target string }

// parsers lists every function that reads foreign bytes: of the network, of disks, of the
// kernel, of users' files. A method is called by its type and its name.
var parsers = []reader{
	// What an author or an attacker writes.
	{"policy", "Parse", "FuzzParse"},
	{"policy", "Diagnose", "FuzzDiagnose"},
	{"policy", "ParseVersion", "FuzzParseVersion"},
	{"policy/syntax", "Parse", "FuzzParse"},
	{"digest", "Parse", "FuzzParse"},
	{"manifest", "Parse", "FuzzParse"},
	{"sign", "Verify", "FuzzVerify"},
	{"sign", "Detach", "FuzzDetach"},
	{"sign", "ParseKey", "FuzzParseKey"},
	{"sign", "ParseCertificates", "FuzzParseCertificates"},
	{"internal/author/walk", "OperationOf", "FuzzOperationOf"},
	{"internal/control/preflight", "named", "FuzzNamed"},
	{"internal/control/preflight", "rootShells", "FuzzRootShells"},
	{"internal/profile", "Parse", "FuzzParse"},
	{"internal/profile", "Diagnose", "FuzzParse"},
	{"internal/strict", "ParseRule", "FuzzParseRule"},
	{"internal/roothash", "Parse", "FuzzParse"},
	{"internal/author/pkcs11uri", "Parse", "FuzzParse"},
	{"internal/decimal", "Parse", "FuzzParse"},
	{"internal/cli/machine", "unitWords", "FuzzUnitWords"},
	{"internal/cli/machine", "variablesIn", "FuzzVariablesIn"},

	// Records, and their way.
	{"audit", "Parse", "FuzzParse"},
	{"audit", "ParseMessage", "FuzzMessage"},
	{"audit", "ParseText", "FuzzMessage"},
	{"audit", "ParseStatement", "FuzzStatement"},
	{"audit", "ParseUntrusted", "FuzzUntrusted"},
	{"audit", "JSON.Record", "FuzzJSON"},
	{"internal/cli/records", "unwrap", "FuzzUnwrap"},
	{"internal/control/api", "SplitMerged", "FuzzSplitMerged"},
	{"internal/control/rpc/server", "parseModeChange", "FuzzParseModeChange"},

	// What is on disk.
	{"verity/dmverity", "ParseSuperblock", "FuzzParseSuperblock"},
	{"verity/dmverity", "ParseParams", "FuzzParseParams"},
	{"verity/dmverity", "ParseUUID", "FuzzParseUUID"},
	{"verity/fsverity", "ParseDescriptor", "FuzzParseDescriptor"},
	{"verity/fsverity", "ParseFormattedDigest", "FuzzParseFormattedDigest"},
	{"verity/fsverity", "ParseMeasuredDigest", "FuzzParseMeasuredDigest"},
	{"internal/control/store", "parseIndex", "FuzzIndex"},
	{"internal/control/store", "parseCopy", "FuzzCopy"},

	// What the kernel says, with names in it that are anybody's.
	{"internal/engine/bpf/record", "Decode", "FuzzDecode"},
	{"internal/engine/bpf/record", "Uses", "FuzzUses"},
	{"internal/engine/bpf/record", "EachInUse", "FuzzEachInUse"},
	{"internal/linux/abi", "parseEvent", "FuzzParseEvent"},
	{"internal/engine/bpf", "parseMajor", "FuzzParseMajor"},
	{"internal/linux/abi", "ParseVersion", "FuzzParseVersion"},
	{"internal/linux/abi", "parseKeyrings", "FuzzParseKeyrings"},
	{"internal/linux/abi", "isKeyring", "FuzzIsKeyring"},
	{"internal/linux/abi", "Mounts", "FuzzMounts"},
	{"internal/linux/abi", "matchSymbol", "FuzzMatchSymbol"},
	{"internal/linux/devmapper", "parseTargets", "FuzzParseAnswers"},
	{"internal/linux/devmapper", "parseNames", "FuzzParseAnswers"},
	{"internal/linux/devmapper", "parseVersion", "FuzzParseAnswers"},
	{"internal/linux/devmapper", "parseState", "FuzzParseAnswers"},
	{"internal/linux/devmapper", "Unmangle", "FuzzMangle"},
	{"internal/control/peer", "startTime", "FuzzStat"},
	{"internal/control/peer", "effective", "FuzzStat"},
	{"internal/linux/cmdline", "Params", "FuzzParams"},
	{"internal/daemon", "unwritable", "FuzzUnwritable"},

	// Other processes and machines of ours.
	{"internal/author/token", "Lines.Next", "FuzzLines"},
	{"internal/author/token/signer", "pointOn", "FuzzPoint"},
	{"internal/author/token/signer", "ecdsaASN1", "FuzzECDSA"},
	{"internal/lab/vm/wire", "NewReader", "FuzzReader"},
	{"internal/lab/vm/wire", "ReadParcel", "FuzzReadParcel"},
	{"internal/lab/scenarios/transcript", "Read", "FuzzRead"},
}

// noParsers are functions that are called as if they parsed foreign bytes, each with the
// reason why none of its own has to be tried.
var noParsers = map[string]string{
	"audit.ParseGeneration": "a word of a flag, one of a list",
	"policy.ParseOp":        "a word, one of a list",
	"policy.ParseAction":    "as ParseOp",
	"policy.ParseKey":       "as ParseOp",
	"eval.ParseHook":        "as ParseOp",

	"sign.parse":                          "Verify and Detach call it",
	"sign.parseInto":                      "as parse",
	"sign.parseKeyBlock":                  "ParseKey calls it",
	"sign.parsePKCS8":                     "ParseKey calls it",
	"sign.parseEncryptedPKCS8":            "ParseKey calls it",
	"verity/dmverity.parseParams":         "ParseParams calls it",
	"verity/dmverity.parseSuperblock":     "ParseSuperblock calls it",
	"verity/fsverity.parseDescriptor":     "ParseDescriptor calls it",
	"verity/fsverity.parseFormatted":      "ParseFormattedDigest calls it",
	"internal/profile.parse":              "Parse and Diagnose call it",
	"manifest.parse":                      "as ParseEntry",
	"manifest.ParseEntry":                 "Parse calls it",
	"internal/author/pkcs11uri.decode":    "Parse calls it",
	"internal/control/store.parseBody":    "parseIndex calls it",
	"internal/control/store.parseName":    "parseIndex calls it",
	"internal/control/store.parseVersion": "parseIndex calls it",

	"internal/cli/records.parseTime": "a flag",
	"internal/cli/records.parseType": "a flag",

	"internal/lab/vm/debian.parseMirror":       "the sources.list of the machine that runs the tests",
	"internal/lab/demo/appliance.parseClosure": "what a program of the demonstration prints",
	"internal/lab/demo/agent.parseStatus":      "as parseClosure",
}

// parsing matches the names of functions that read foreign bytes.
var parsing = regexp.MustCompile(`^([pP]arse|[dD]ecode)([A-Z]|$)`)

// checkParsers wants each function on the list to be there and called by its fuzz target,
// and each function whose name says that it parses to be on one of both lists.
func checkParsers(t *tree) (bad []string) {
	listed := map[string]bool{}
	for _, p := range parsers {
		listed[p.dir+"."+p.function] = true
		if in := t.packages[p.dir]; in != nil {
			bad = append(bad, p.check(in)...)
		} else if t.whole() {
			bad = append(bad, fmt.Sprintf("%s: on the list of parsers, and there is no such package", p.dir))
		}
	}
	found := map[string]bool{}
	for _, p := range t.sorted() {
		for name, path := range p.parsing() {
			full := p.dir + "." + name
			found[full] = true
			if !listed[full] && noParsers[full] == "" {
				bad = append(bad, fmt.Sprintf("%s: %s parses, and is not on the list of parsers with a fuzz target", path, name))
			}
		}
	}
	for full := range noParsers {
		if !found[full] && t.whole() {
			bad = append(bad, full+": on the list of what is no parser, and gone")
		}
	}
	slices.Sort(bad)
	return bad
}

func (r reader) check(in *pkg) (bad []string) {
	if !in.declares(r.function) {
		bad = append(bad, fmt.Sprintf("%s: %s is on the list of parsers, and gone", r.dir, r.function))
	}
	names := in.testNames()
	if names[r.target] == nil {
		return append(bad, fmt.Sprintf("%s: the fuzz target %s of %s is gone", r.dir, r.target, r.function))
	}
	_, name, isMethod := strings.Cut(r.function, ".")
	if !isMethod {
		name = r.function
	}
	if !reaches(names, r.target, name) {
		bad = append(bad, fmt.Sprintf("%s: the fuzz target %s does not call %s", r.dir, r.target, r.function))
	}
	return bad
}

// declares tells whether a function, or a method as "Type.Name", is declared.
func (p *pkg) declares(function string) bool {
	for _, f := range p.files {
		for fn := range f.funcs {
			name := fn.Name.Name
			if fn.Recv != nil {
				name = receiver(fn) + "." + name
			}
			if !f.test && name == function {
				return true
			}
		}
	}
	return false
}

// receiver is the name of the type that a method belongs to.
func receiver(fn *ast.FuncDecl) string {
	t := fn.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

// testNames maps the functions of a package's tests to the names that they mention.
func (p *pkg) testNames() map[string]map[string]bool {
	calls := map[string]map[string]bool{}
	for _, f := range p.files {
		if !f.test || inGuest(f.syntax) {
			continue
		}
		for fn := range f.funcs {
			if fn.Body == nil || fn.Recv != nil {
				continue
			}
			names := map[string]bool{}
			ast.Inspect(fn.Body, func(n ast.Node) bool {
				if id, ok := n.(*ast.Ident); ok {
					names[id.Name] = true
				}
				return true
			})
			calls[fn.Name.Name] = names
		}
	}
	return calls
}

// reaches tells whether a function of the tests mentions another, or has one of theirs do
// so.
func reaches(calls map[string]map[string]bool, from, to string) bool {
	seen := map[string]bool{}
	var visit func(string) bool
	visit = func(name string) bool {
		if seen[name] {
			return false
		}
		seen[name] = true
		if calls[name][to] {
			return true
		}
		return slices.ContainsFunc(slices.Collect(maps.Keys(calls[name])), visit)
	}
	return visit(from)
}

// parsing yields the functions whose names say that they parse text, bytes or a stream,
// and where they are.
func (p *pkg) parsing() map[string]string {
	found := map[string]string{}
	for _, f := range p.files {
		if f.test || f.generated {
			continue
		}
		for fn := range f.funcs {
			if fn.Recv == nil && parsing.MatchString(fn.Name.Name) && takesBytes(fn) {
				found[fn.Name.Name] = f.path
			}
		}
	}
	return found
}

// takesBytes tells whether a parameter is text, bytes or a stream.
func takesBytes(fn *ast.FuncDecl) bool {
	return slices.ContainsFunc(fn.Type.Params.List, func(param *ast.Field) bool {
		switch t := param.Type.(type) {
		case *ast.Ident:
			return t.Name == "string"
		case *ast.ArrayType:
			return isIdent(t.Elt, "byte")
		case *ast.SelectorExpr:
			return t.Sel.Name == "Reader" || t.Sel.Name == "ReaderAt"
		}
		return false
	})
}
