package offsets

import (
	"errors"

	"github.com/cilium/ebpf/btf"
)

// FindFileSystems takes the offsets of all file systems that are loaded. One that is not
// understood takes nothing from the others.
func (w *Walk) FindFileSystems(types Types) error {
	return errors.Join(w.FindOverlay(types), w.FindBtrfs(types), w.FindExt4(types), w.FindErofs(types))
}

// Unready is the same with nothing declared to be there but device-mapper: between this
// and another one, a reader may see a part of each.
func (w Walk) Unready() Walk {
	w.Ready, w.Overlay, w.Btrfs, w.Ext4, w.Erofs = 0, 0, 0, 0, 0
	return w
}

// FindErofs takes the offsets of what erofs says of further devices, and of those with
// whom it shares pages. If it is not loaded, Erofs stays 0.
func (w *Walk) FindErofs(types Types) error {
	return findDriver(types, "erofs", "erofs", "erofs_sb_info", func(specs []*btf.Spec) error { return w.findErofs(&members{specs: specs}) })
}

func (w *Walk) findErofs(m *members) error {
	found := *w
	found.ErofsDevices = m.must("erofs_sb_info", "devs", pointer)
	found.ErofsDomain = m.must("erofs_sb_info", "domain_id", pointer)
	found.ErofsExtraDevices = m.must("erofs_dev_context", "extra_devices", word)
	found.Erofs = 1
	return w.take(found, m.err)
}
