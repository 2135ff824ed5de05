package devmapper

import (
	"github.com/ipe-linux/ipe/internal/linux/abi"
	"github.com/ipe-linux/ipe/verity/dmverity"
)

// feature is something that not every version of the verity target has.
type feature struct {
	option string
	used   func(dmverity.Table) bool
	need   abi.Version
	linux  string
}

// features are from the history of drivers/md/dm-verity-target.c. The words on errors
// of devices came without a version of their own; 1.10 is the one before them.
func features() []feature {
	v := func(minor int) abi.Version { return abi.Version{Major: 1, Minor: minor} }
	return []feature{
		{"error correction", func(t dmverity.Table) bool { return t.FEC != nil }, v(3), "4.5"},
		{"ignoring zero blocks", func(t dmverity.Table) bool { return t.IgnoreZeroBlocks }, v(3), "4.5"},
		{"checking at most once", func(t dmverity.Table) bool { return t.CheckAtMostOnce }, v(4), "4.17"},
		{"a root hash signature", func(t dmverity.Table) bool { return t.SignatureKey != "" }, v(5), "5.4"},
		{"panic on corruption", func(t dmverity.Table) bool { return t.OnCorruption == dmverity.PanicOnCorruption }, v(7), "5.9"},
		{"verifying in tasklets", func(t dmverity.Table) bool { return t.TryVerifyInTasklet }, v(9), "6.0"},
		{"restart or panic on I/O errors", func(t dmverity.Table) bool { return t.OnIOError != "" }, v(10), "6.12"},
	}
}

// supported wants a target of a version to have all that a table uses.
func supported(t dmverity.Table, have abi.Version) error {
	for _, f := range features() {
		if f.used(t) && have.Compare(f.need) < 0 {
			return &UnsupportedError{Option: f.option, Need: f.need, Have: have, Linux: f.linux}
		}
	}
	return nil
}
