package offsets

import (
	"errors"

	"github.com/cilium/ebpf/btf"
)

// FindFileSystems takes the offsets of all file systems that are loaded. One that is not
// understood takes nothing from the others.
func (w *Walk) FindFileSystems(types Types) error {
	return errors.Join(w.FindOverlay(types), w.FindBtrfs(types), w.FindExt4(types), w.FindErofs(types), w.FindXfs(types))
}

// Unready is the same with nothing declared to be there but device-mapper: between this
// and another one, a reader may see a part of each.
func (w Walk) Unready() Walk {
	w.Ready, w.Overlay, w.Btrfs, w.Ext4, w.Erofs, w.Xfs = 0, 0, 0, 0, 0, 0
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
	found.ErofsBegins = None
	if m.hasMember("erofs_device_info", "fsoff") {
		found.ErofsBegins = m.must("erofs_sb_info", "dif0", anySize) + m.must("erofs_device_info", "fsoff", pointer)
	}
	found.Erofs = 1
	return w.take(found, m.err)
}

// FindXfs takes the offsets of what xfs says of its devices. If it is not loaded, Xfs
// stays 0.
func (w *Walk) FindXfs(types Types) error {
	return findDriver(types, "xfs", "xfs", "xfs_mount", func(specs []*btf.Spec) error { return w.findXfs(&members{specs: specs}) })
}

func (w *Walk) findXfs(m *members) error {
	found := *w
	found.XfsSb = m.must("xfs_mount", "m_super", pointer)
	found.XfsData = m.must("xfs_mount", "m_ddev_targp", pointer)
	found.XfsLog = m.must("xfs_mount", "m_logdev_targp", pointer)
	found.XfsRealtime = m.must("xfs_mount", "m_rtdev_targp", pointer)
	found.Xfs = 1
	return w.take(found, m.err)
}
