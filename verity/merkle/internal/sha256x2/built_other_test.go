//go:build !amd64 || purego

package sha256x2

// built says that there is no assembly in this build.
const built = false
