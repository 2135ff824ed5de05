// Package offsets finds in type information where a kernel and its drivers keep what the
// BPF programs read, and what they have at all. It asks no kernel: stored types, those of
// testdata, have the same answers as those of the kernel that runs.
package offsets

import (
	"structs"

	"github.com/cilium/ebpf/btf"
)

// None marks a member that this kernel does not have (IPE_NO_OFFSET).
const None = ^uint32(0)

// Types are those of a kernel and of its drivers. A [btf.Cache] has those of the one that
// runs.
type Types interface {
	Kernel() (*btf.Spec, error)
	// Module fails with [fs.ErrNotExist] if there is no such module.
	Module(name string) (*btf.Spec, error)
}

// Walk is struct walk of bpf/maps.h: byte offsets, but where another kind is named. What
// a Find method cannot find stays as it was.
type Walk struct {
	_ structs.HostLayout
	// VerityTable and VerityHash are addresses, which are no types' business.
	VerityTable uint64
	VerityHash  uint64

	// Ready is 1 if the following are there, up to VeritySigSize.
	Ready            uint32
	DmMajor          uint32 // a device number
	MdMap            uint32
	TableNumTargets  uint32
	TableTargets     uint32
	TargetType       uint32
	TargetPrivate    uint32
	TypeName         uint32
	VerityRootDigest uint32
	VerityDigestSize uint32
	VerityAlgName    uint32
	// VerityTfm are crypto handles, in the order to try; TfmAlg is where each keeps its
	// crypto_alg.
	VerityTfm     [2]uint32
	TfmAlg        [2]uint32
	AlgCraName    uint32
	VeritySig     uint32
	VeritySigSize uint32

	// Overlay is 1 if the following are there, up to OvlUpperData.
	Overlay uint32
	// OvlRealfile is where the private data of an open file has that of the layer; None
	// if it is that itself.
	OvlRealfile    uint32
	OvlVfsInode    uint32
	OvlUpperDentry uint32
	OvlFlags       uint32
	OvlUpperData   uint32 // the number of a bit of the flags

	// Btrfs is 1 if the following are there, up to BtrfsDeviceBdev.
	Btrfs               uint32
	BtrfsSb             uint32
	BtrfsDevices        uint32
	BtrfsReplaceState   uint32
	BtrfsReplaceTarget  uint32
	BtrfsNumDevices     uint32
	BtrfsOpenDevices    uint32
	BtrfsMissingDevices uint32
	BtrfsSeeding        uint32
	BtrfsSeedList       uint32
	BtrfsLatest         uint32
	BtrfsDeviceOwner    uint32
	BtrfsDeviceBdev     uint32

	SignedRoots uint32 // a number of root hashes

	// VerityMode is that of a volume, and VerityLogging its value if what is wrong is only
	// logged; VerityValidated are the blocks that are not looked at again. Ready covers
	// them, but they may be None.
	VerityMode      uint32
	VerityLogging   uint32
	VerityValidated uint32

	// Ext4 is 1 if the following are there, up to JournalDevice.
	Ext4          uint32
	Ext4Sb        uint32
	Ext4Journal   uint32
	JournalDevice uint32

	// VerityTarget, TargetTable and TableMd lead from a volume to its live table and to its
	// device. Ready covers
	// them, but they may be None.
	VerityTarget uint32
	TargetTable  uint32
	TableMd      uint32

	Mapper uint32 // 1 if MdMap is there, also without dm-verity

	// Erofs is 1 if the following are there, up to ErofsExtraDevices.
	Erofs             uint32
	ErofsDevices      uint32
	ErofsDomain       uint32
	ErofsBegins       uint32 // None before Linux 6.17
	ErofsExtraDevices uint32

	// Xfs is 1 if the following are there, up to XfsRealtime.
	Xfs         uint32
	XfsSb       uint32
	XfsData     uint32
	XfsLog      uint32
	XfsRealtime uint32
	_           uint32
}

// HasFunction looks for a function that a program can be attached to.
func HasFunction(kernel *btf.Spec, name string) bool {
	var fn *btf.Func
	return kernel.TypeByName(name, &fn) == nil
}

// HasHook looks for an LSM hook that a program can be attached to.
func HasHook(kernel *btf.Spec, name string) bool { return HasFunction(kernel, "bpf_lsm_"+name) }

// HasMapperFunction looks for a function of device-mapper that a program can be attached
// to. Without device-mapper there is none.
func HasMapperFunction(types Types, name string) (bool, error) {
	specs, err := driver(types, mapper, mappedDevice)
	if err != nil || specs == nil {
		return false, err
	}
	return HasFunction(specs[0], name), nil
}

// AsksFirst tells whether there is execveat with AT_EXECVE_CHECK: since Linux 6.14.
func AsksFirst(kernel *btf.Spec) bool {
	m := members{specs: []*btf.Spec{kernel}}
	return m.hasMember("linux_binprm", "is_check")
}

// HasInfoTable tells whether fs-verity information is in a table: since Linux 7.0.
func HasInfoTable(kernel *btf.Spec) bool {
	m := members{specs: []*btf.Spec{kernel}}
	_, ok := m.find("fsverity_info", "rhash_head", anySize)
	return ok
}
