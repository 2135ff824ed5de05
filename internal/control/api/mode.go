package api

// Mode is how decisions take effect.
type Mode struct {
	// Enforce: a DENY becomes EACCES. Otherwise it is only recorded (permissive).
	Enforce bool `json:"enforce"`
	// SuccessAudit: an ALLOW is recorded, too.
	SuccessAudit bool `json:"success_audit"`
}

// ModeChange says what to change; nil leaves a switch as it is.
type ModeChange struct {
	Enforce      *bool `json:"enforce,omitempty"`
	SuccessAudit *bool `json:"success_audit,omitempty"`
}

// ModeResult is the mode that holds after a change.
type ModeResult struct {
	Mode
	// NotKept says why the mode ends with this process; empty if the next start has
	// it, too.
	NotKept string `json:"not_kept,omitempty"`
}
