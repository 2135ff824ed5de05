// Package built says which build of the program runs.
package built

import (
	"cmp"
	"runtime"
	"runtime/debug"
)

// Version describes the running program: module version, or the commit it was built
// from, and the Go release.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown " + runtime.Version()
	}
	return cmp.Or(info.Main.Version, "(devel)") + " " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH
}
