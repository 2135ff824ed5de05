package offsets

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/cilium/ebpf/btf"
)

// The module of device-mapper, and a structure that only it has.
const (
	mapper       = "dm_mod"
	mappedDevice = "mapped_device"
)

// FindMapper takes the offset of a mapped device's live table. Mapper stays 0 while
// device-mapper is not loaded.
func (w *Walk) FindMapper(types Types) error {
	return findDriver(types, "device-mapper", mapper, mappedDevice, func(specs []*btf.Spec) error {
		m, found := members{specs: specs}, *w
		found.MdMap = m.must(mappedDevice, "map", pointer)
		found.Mapper = 1
		return w.take(found, m.err)
	})
}

// FindVerity takes the offsets in device-mapper and dm-verity, whose devices have this
// major number: 0 while there is none. Ready stays 0 while dm-verity is not loaded.
func (w *Walk) FindVerity(types Types, major uint32) error {
	if err := w.findVerity(types, major); err != nil {
		return fmt.Errorf("find dm-verity: %w", err)
	}
	return nil
}

func (w *Walk) findVerity(types Types, major uint32) error {
	if major == 0 {
		return nil
	}
	dm, err := driver(types, mapper, mappedDevice)
	if err != nil {
		return err
	}
	verity, err := driver(types, "dm_verity", "dm_verity")
	if err != nil || dm == nil || verity == nil {
		return err
	}
	d, v := members{specs: dm}, members{specs: verity}
	found := *w
	found.Ready, found.DmMajor = 1, major
	found.MdMap = d.must("mapped_device", "map", pointer)
	found.TableNumTargets = d.must("dm_table", "num_targets", word)
	found.TableTargets = d.must("dm_table", "targets", pointer)
	found.TargetType = d.must("dm_target", "type", pointer)
	found.TargetPrivate = d.must("dm_target", "private", pointer)
	found.TypeName = d.must("target_type", "name", pointer)
	found.VerityRootDigest = v.must("dm_verity", "root_digest", pointer)
	found.VerityDigestSize = v.must("dm_verity", "digest_size", word)
	found.VerityAlgName = v.must("dm_verity", "alg_name", pointer)
	found.AlgCraName = v.must("crypto_alg", "cra_name", anySize)
	v.setHash(&found)
	v.setSignature(&found)
	v.setOpening(&found)
	setWayBack(&found, &d, &v)
	return w.take(found, d.err, v.err)
}

// take changes all or nothing.
func (w *Walk) take(found Walk, errs ...error) error {
	err := errors.Join(errs...)
	if err == nil {
		*w = found
	}
	return err
}

// setHash finds the crypto handles of dm-verity: one ahash before 6.12, an ahash
// or a shash since then.
func (m *members) setHash(w *Walk) {
	candidates := []struct{ member, handle string }{
		{"shash_tfm", "crypto_shash"}, {"ahash_tfm", "crypto_ahash"}, {"tfm", "crypto_ahash"},
	}
	w.VerityTfm = [2]uint32{None, None}
	w.TfmAlg = w.VerityTfm
	n := 0
	for _, c := range candidates {
		if off, ok := m.find("dm_verity", c.member, pointer); ok && n < len(w.VerityTfm) {
			w.VerityTfm[n] = off
			w.TfmAlg[n] = m.must(c.handle, "base", anySize) + m.must("crypto_tfm", "__crt_alg", pointer)
			n++
		}
	}
}

// setSignature finds what says that a volume's root hash was signed. Since 6.12
// the signature itself is kept; before, the key description that the constructor
// accepts only together with a valid signature.
func (m *members) setSignature(w *Walk) {
	w.VeritySig, w.VeritySigSize = None, None
	if sig, ok := m.find("dm_verity", "root_digest_sig", pointer); ok {
		w.VeritySig, w.VeritySigSize = sig, m.must("dm_verity", "sig_size", word)
	} else if desc, ok := m.find("dm_verity", "signature_key_desc", pointer); ok {
		w.VeritySig = desc
	}
}

// setOpening finds what says how a volume was opened. Without it, no volume holds what an
// honest profile asks.
func (m *members) setOpening(w *Walk) {
	w.VerityMode, w.VerityValidated = None, None
	mode, ok := m.find("dm_verity", "mode", word)
	logging, known := m.bit("verity_mode", "DM_VERITY_MODE_LOGGING")
	if !ok || !known {
		return
	}
	w.VerityMode, w.VerityLogging = mode, logging
	if validated, ok := m.find("dm_verity", "validated_blocks", pointer); ok {
		w.VerityValidated = validated
	}
}

// setWayBack finds how a volume leads to its live table and its device. Without it, no
// volume holds what an honest profile asks.
func setWayBack(w *Walk, mapper, verity *members) {
	target, hasTarget := verity.find("dm_verity", "ti", pointer)
	table, hasTable := mapper.find("dm_target", "table", pointer)
	md, hasDevice := mapper.find("dm_table", "md", pointer)
	if !hasTarget || !hasTable || !hasDevice {
		target, table, md = None, None, None
	}
	w.VerityTarget, w.TargetTable, w.TableMd = target, table, md
}

// FindOverlay takes the offsets in overlayfs: an open file has that of its layer as
// private data, since 6.13 inside a struct ovl_file. If overlayfs is not loaded, Overlay
// stays 0.
func (w *Walk) FindOverlay(types Types) error {
	return findDriver(types, "overlayfs", "overlay", "ovl_inode", func(specs []*btf.Spec) error { return w.findOverlay(&members{specs: specs}) })
}

func (w *Walk) findOverlay(m *members) error {
	found := *w
	bit, ok := m.bit("ovl_inode_flag", "OVL_UPPERDATA")
	if !ok {
		return errors.New("enum ovl_inode_flag has no OVL_UPPERDATA")
	}
	found.OvlRealfile, found.OvlUpperData = None, bit
	if m.has("ovl_file") {
		found.OvlRealfile = m.must("ovl_file", "realfile", pointer)
	}
	found.OvlVfsInode = m.must("ovl_inode", "vfs_inode", anySize)
	found.OvlUpperDentry = m.must("ovl_inode", "__upperdentry", pointer)
	found.OvlFlags = m.must("ovl_inode", "flags", pointer)
	found.Overlay = 1
	return w.take(found, m.err)
}

// FindBtrfs takes the offsets in btrfs, which has the devices of a mounted file system
// in structures of its own. If it is not loaded, Btrfs stays 0.
func (w *Walk) FindBtrfs(types Types) error {
	return findDriver(types, "btrfs", "btrfs", "btrfs_fs_info", func(specs []*btf.Spec) error { return w.findBtrfs(&members{specs: specs[:1]}) })
}

func (w *Walk) findBtrfs(m *members) error {
	found := *w
	replace := m.must("btrfs_fs_info", "dev_replace", anySize)
	found.BtrfsSb = m.must("btrfs_fs_info", "sb", pointer)
	found.BtrfsDevices = m.must("btrfs_fs_info", "fs_devices", pointer)
	found.BtrfsReplaceState = replace + m.must("btrfs_dev_replace", "replace_state", long)
	found.BtrfsReplaceTarget = replace + m.must("btrfs_dev_replace", "tgtdev", pointer)
	found.BtrfsNumDevices = m.must("btrfs_fs_devices", "num_devices", long)
	found.BtrfsOpenDevices = m.must("btrfs_fs_devices", "open_devices", long)
	found.BtrfsMissingDevices = m.must("btrfs_fs_devices", "missing_devices", long)
	found.BtrfsSeeding = m.must("btrfs_fs_devices", "seeding", flag)
	found.BtrfsSeedList = m.must("btrfs_fs_devices", "seed_list", listHead)
	found.BtrfsLatest = m.must("btrfs_fs_devices", "latest_dev", pointer)
	found.BtrfsDeviceOwner = m.must("btrfs_device", "fs_devices", pointer)
	found.BtrfsDeviceBdev = m.must("btrfs_device", "bdev", pointer)
	found.Btrfs = 1
	return w.take(found, m.err)
}

// FindExt4 takes the offsets of what ext4 says of its journal. If it is not loaded, Ext4
// stays 0.
func (w *Walk) FindExt4(types Types) error {
	return findDriver(types, "ext4", "ext4", "ext4_sb_info", func(specs []*btf.Spec) error { return w.findExt4(&members{specs: specs}) })
}

func (w *Walk) findExt4(m *members) error {
	found := *w
	found.Ext4Sb = m.must("ext4_sb_info", "s_sb", pointer)
	found.Ext4Journal = m.must("ext4_sb_info", "s_journal", pointer)
	found.JournalDevice = m.must("journal_s", "j_dev", pointer)
	found.Ext4 = 1
	return w.take(found, m.err)
}

// findDriver has find take the offsets of a driver; one that is not loaded has none.
func findDriver(types Types, what, module, structure string, find func([]*btf.Spec) error) error {
	specs, err := driver(types, module, structure)
	if err == nil && specs != nil {
		err = find(specs)
	}
	if err != nil {
		return fmt.Errorf("find %s: %w", what, err)
	}
	return nil
}

// driver returns where the types of a driver are: its own, and the kernel's behind them.
// Those of one that is built in are the kernel's; there are none if it is not loaded.
// structure is one that only this driver has.
func driver(types Types, module, structure string) ([]*btf.Spec, error) {
	kernel, err := types.Kernel()
	if err != nil {
		return nil, fmt.Errorf("read kernel BTF: %w", err)
	}
	spec, err := types.Module(module)
	switch {
	case err == nil:
		return []*btf.Spec{spec, kernel}, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("read BTF of %s: %w", module, err)
	}
	specs := []*btf.Spec{kernel}
	if m := (&members{specs: specs}); !m.has(structure) {
		return nil, nil
	}
	return specs, nil
}
