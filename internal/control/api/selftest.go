package api

import (
	"time"
)

// SelfTest is the outcome of actions that were really tried on the running kernel.
type SelfTest struct {
	Time   time.Time `json:"time"`
	Probes []Probe   `json:"probes"`
	// DenialSeen: at least one action that the policy denies was denied, and no
	// probe went against the policy. Only then may anything say "enforcing".
	DenialSeen bool `json:"denial_seen"`
	// Failed: a probe went against the policy; unclear ones did not.
	Failed bool `json:"failed"`
}

// Probe is one action that a self-test tried.
type Probe struct {
	Name string `json:"name"`
	// Want is what the policy demands, Got what the kernel answered ("EACCES", "ok").
	Want string `json:"want"`
	Got  string `json:"got"`
	OK   bool   `json:"ok"`
	// Unclear: the answer proves nothing either way, for example because something
	// else refused first, or because the record of the decision was lost.
	Unclear bool `json:"unclear"`
}
