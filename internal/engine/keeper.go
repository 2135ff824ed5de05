package engine

// Keeper is an engine whose kernel keeps policies itself: the active one and others.
// Others than this process may change them at any time. Errors are the kernel's and
// wrap its errno.
type Keeper interface {
	Engine
	// Load adds a signed policy, inactive.
	Load(envelope []byte) error
	// Update replaces the policy of that name, in one step also if it is the active
	// one. If the kernel has none of the name the policy is loaded.
	Update(name string, envelope []byte) error
	// Delete removes a policy that is not active.
	Delete(name string) error
	// Held lists the policies that the kernel has now, in the order of their names.
	Held() ([]Held, error)
}

// Held is a policy that the kernel has.
type Held struct {
	Name, Version string
	// Envelope is the signed message; nil for the policy compiled into the kernel.
	Envelope []byte
	Text     []byte
	Active   bool
	// Place tells a policy from one that was loaded later under the same name; an
	// update does not change it.
	Place uint64
}
