package bpf

import (
	"github.com/cilium/ebpf/btf"

	"github.com/ipe-linux/ipe/internal/kernelabi"
)

// findOverlay takes the offsets in overlayfs: an open file has that of its layer as
// private data, since 6.13 inside a struct ovl_file. If overlayfs is not loaded or
// cannot be understood, its files have no facts.
func findOverlay(types *btf.Cache, w *ipeWalk) {
	spec, err := moduleTypes(types, "overlay", "ovl_inode")
	if err != nil || spec == nil {
		return
	}
	kernel, err := types.Kernel()
	if err != nil {
		return
	}
	m := members{specs: []*btf.Spec{spec, kernel}}
	bit, ok := m.bit("ovl_inode_flag", "OVL_UPPERDATA")
	if !ok {
		return
	}
	w.OvlRealfile, w.OvlUpperData = noOffset, bit
	if m.has("ovl_file") {
		w.OvlRealfile = m.must("ovl_file", "realfile", pointer)
	}
	w.OvlVfsInode = m.must("ovl_inode", "vfs_inode", anySize)
	w.OvlUpperDentry = m.must("ovl_inode", "__upperdentry", pointer)
	w.OvlFlags = m.must("ovl_inode", "flags", pointer)
	w.Overlay = number(m.err == nil)
}

// findBtrfs takes the offsets in btrfs, which has the devices of a mounted file system
// in structures of its own. If it is not loaded or cannot be understood, its files have
// no dm-verity facts.
func findBtrfs(types *btf.Cache, w *ipeWalk) {
	spec, err := moduleTypes(types, "btrfs", "btrfs_fs_info")
	if err != nil || spec == nil {
		return
	}
	m := members{specs: []*btf.Spec{spec}}
	replace := m.must("btrfs_fs_info", "dev_replace", anySize)
	w.BtrfsSb = m.must("btrfs_fs_info", "sb", pointer)
	w.BtrfsDevices = m.must("btrfs_fs_info", "fs_devices", pointer)
	w.BtrfsReplaceState = replace + m.must("btrfs_dev_replace", "replace_state", long)
	w.BtrfsReplaceTarget = replace + m.must("btrfs_dev_replace", "tgtdev", pointer)
	w.BtrfsNumDevices = m.must("btrfs_fs_devices", "num_devices", long)
	w.BtrfsOpenDevices = m.must("btrfs_fs_devices", "open_devices", long)
	w.BtrfsMissingDevices = m.must("btrfs_fs_devices", "missing_devices", long)
	w.BtrfsSeeding = m.must("btrfs_fs_devices", "seeding", flag)
	w.BtrfsSeedList = m.must("btrfs_fs_devices", "seed_list", listHead)
	w.BtrfsLatest = m.must("btrfs_fs_devices", "latest_dev", pointer)
	w.BtrfsDeviceOwner = m.must("btrfs_device", "fs_devices", pointer)
	w.BtrfsDeviceBdev = m.must("btrfs_device", "bdev", pointer)
	w.Btrfs = number(m.err == nil)
}

// findInfoTable finds the table of fs-verity information that Linux 7.0 and later
// have. Neither it nor its hash function is in BTF, but both are symbols, at the same
// address until the machine reboots. Without them there is no fsverity_digest, which
// kernelabi finds out, too.
func (e *Engine) findInfoTable(types *btf.Cache, w *ipeWalk) {
	var have ipeWalk
	if err := e.maps[mapWalk].Lookup(slot, &have); err == nil && have.VerityTable != 0 {
		w.VerityTable, w.VerityHash = have.VerityTable, have.VerityHash
		return
	}
	kernel, err := types.Kernel()
	if err != nil {
		return
	}
	m := members{specs: []*btf.Spec{kernel}}
	if _, ok := m.find("fsverity_info", "rhash_head", anySize); !ok {
		return
	}
	found, err := symbols(kernelabi.VerityTable, kernelabi.VerityTableHash)
	if err != nil {
		e.log.Error("fsverity_digest is not available", "error", err)
		return
	}
	w.VerityTable, w.VerityHash = found[0], found[1]
}
