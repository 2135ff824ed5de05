package profiles

import (
	"fmt"
	"strings"

	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/internal/profile"
	"github.com/ipe-linux/ipe/internal/strict"
)

// exception is one of check --json. Keys and their presence are an interface.
type exception struct {
	Line int `json:"line"`
	// Rule is the name of a strict rule, or anon_exec.
	Rule string `json:"rule"`
	// Action is off or monitor; empty for anon_exec.
	Action string `json:"action"`
	// What is known of the executable, as in the text; empty where it is not named.
	FSVerityDigest   string `json:"fsverity_digest"`
	DMVerityRoothash string `json:"dmverity_roothash"`
	Path             string `json:"path"`
	// Allows says in words what the exception allows.
	Allows string `json:"allows"`
}

func exceptionsOf(p *profile.Profile) []exception {
	all := []exception{}
	for _, e := range p.Exceptions {
		x := exception{Line: e.Line, Rule: "anon_exec", Path: e.Identity.Path, Allows: allows(e)}
		if e.Rule != strict.None {
			x.Rule, x.Action = e.Rule.String(), e.Action.String()
		}
		if d := e.Identity.File; !d.IsZero() {
			x.FSVerityDigest = d.String()
		}
		if d := e.Identity.Root; !d.IsZero() {
			x.DMVerityRoothash = d.String()
		}
		all = append(all, x)
	}
	return all
}

// explained has a line for each exception.
func explained(p *profile.Profile) string {
	var b strings.Builder
	for _, x := range exceptionsOf(p) {
		what := x.Rule
		if x.Action != "" {
			what += " " + x.Action
		}
		fmt.Fprintf(&b, "  line %d: %s: %s\n", x.Line, what, plain.Text(x.Allows))
	}
	return b.String()
}

// allows says what an exception allows, and to which executable.
func allows(e profile.Exception) string {
	switch {
	case e.Rule == strict.None:
		return executable(e.Identity) + " may execute memory that belongs to no file, whatever the policy says of that"
	case e.Action == strict.Monitor:
		return executable(e.Identity) + " may do this, and it is recorded: " + e.Rule.Refuses()
	}
	return executable(e.Identity) + " may do this, unrecorded: " + e.Rule.Refuses()
}

// executable says which file an exception is about.
func executable(id profile.Identity) string {
	volume := "the dm-verity volume " + id.Root.String()
	switch {
	case id.Root.IsZero():
		return "the file with fs-verity digest " + id.File.String()
	case id.Path == "":
		return "the file with fs-verity digest " + id.File.String() + " on " + volume
	}
	return id.Path + " on " + volume
}
