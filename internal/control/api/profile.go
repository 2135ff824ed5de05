package api

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/errno"
	"github.com/ipe-linux/ipe/internal/hint"
)

// Profile is the loaded profile: what is asked beyond the policy, and of whom not.
type Profile struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// Base is ProfileCompat or ProfileStrict; empty if the profile cannot be read.
	Base string `json:"base"`
	// Exceptions counts the lines.
	Exceptions int `json:"exceptions"`
	// SHA256 is that of the signed message.
	SHA256  string   `json:"sha256"`
	Signers []string `json:"signers"`
	// Loaded is when; the zero time if that cannot be told.
	Loaded time.Time `json:"loaded"`
	// Overrides is what iped --profile says; empty if that is Base.
	Overrides string `json:"overrides"`
	// Error says why the profile cannot be used; empty if it can. InForce: its exceptions
	// count all the same until iped starts anew.
	Error   string `json:"error"`
	InForce bool   `json:"in_force"`
	// Text is as it was signed. A Status leaves it out.
	Text string `json:"text,omitempty"`
}

// Refusals of profiles. Those of signature and text are as for policies.
var (
	// ErrNoProfile: none is loaded. ENOENT.
	ErrNoProfile = errno.New(unix.ENOENT, "no profile is loaded")
	// ErrNoProfiler: this engine asks what it asks. EOPNOTSUPP.
	ErrNoProfiler = errno.New(unix.EOPNOTSUPP, "profiles work with "+hint.EngineBPF+" only: the kernel's own IPE has none")
	// ErrProfileNotNewer: the version is not higher than that of the loaded profile of the
	// same name. ESTALE.
	ErrProfileNotNewer = errno.New(unix.ESTALE, "version is not higher than that of the loaded profile")
	// ErrProfileStale: the version is below the floor of its name. ESTALE.
	ErrProfileStale = errno.New(unix.ESTALE, "version is below the floor of its profile: those before the last loaded one are refused, also after a reboot")
	// ErrProfileOlder: the loaded profile, of another name, has a higher version. EINVAL.
	ErrProfileOlder = errno.New(unix.EINVAL, "the loaded profile has a higher version")
	// ErrNotProfile: what was signed is no profile. EBADMSG.
	ErrNotProfile = errno.New(unix.EBADMSG, "not a profile")
	// ErrProfileUnverified: a stored profile whose signature or text no longer passes.
	// EKEYREJECTED.
	ErrProfileUnverified = errno.New(unix.EKEYREJECTED, "stored profile no longer verifies")
)
