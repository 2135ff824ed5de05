//go:build !amd64 || purego

package sha256x2

// available is false: there are no instructions that this package knows.
func available() bool { return false }

// compress2 is never called.
func compress2(_, _ *state, _, _ *byte, _ int) {}
