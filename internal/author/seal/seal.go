// Package seal makes files so that they cannot change unnoticed: it enables fs-verity on
// them, and signs their digests. It does many at a time, and one that cannot be sealed does
// not keep the others from it.
package seal

// SignatureSuffix is what the name of a file has more for that of its signature.
const SignatureSuffix = ".p7s"

// remediable is an error that knows a remedy.
type remediable struct {
	error
	remedy string
}

func (e *remediable) Unwrap() error { return e.error }

// Hint says what to do.
func (e *remediable) Hint() string { return e.remedy }
