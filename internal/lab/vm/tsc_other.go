//go:build linux && !amd64

package vm

// tscArgs says nothing: what an emulated time stamp counter counts here is QEMU's
// affair, and the guest's kernel measures it.
func tscArgs(Config, string) []string { return nil }
