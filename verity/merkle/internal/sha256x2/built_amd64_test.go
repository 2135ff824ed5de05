//go:build !purego

package sha256x2

// built says that there is assembly in this build.
const built = true
