package abi

import (
	"errors"
	"fmt"
	"os"
)

func lookDMVerity(s *System, _ kernelBTF) finding {
	switch s.module("dm_verity") {
	case moduleLoaded:
		return yes("dm_verity is loaded or built in")
	case moduleLoadable:
		return no("dm_verity is not loaded", "load it before iped starts: echo dm_verity >/etc/modules-load.d/ipe.conf; modprobe dm_verity")
	}
	return no("this kernel has no dm_verity", rebuild("CONFIG_DM_VERITY=m or y"))
}

func lookVerityInfo(s *System, k kernelBTF) finding {
	switch {
	case !k.present():
		return unknown("no BTF", "")
	case k.hasMember("inode", "i_verity_info"):
		return yes("struct inode has i_verity_info")
	case k.hasMember("fsverity_operations", "inode_info_offs"):
		return yes("the file system's inode has it, at inode_info_offs")
	case k.hasMember("fsverity_info", "rhash_head"):
		return lookVerityTable(s)
	case k.hasStruct("fsverity_info"):
		return no("this kernel keeps fs-verity facts where this release does not look", "")
	}
	return no("this kernel has no fs-verity", rebuild("CONFIG_FS_VERITY=y"))
}

func lookVerityTable(s *System) finding {
	_, err := s.Symbols(VerityTable, VerityTableHash)
	switch {
	case err == nil:
		return yes("the table " + VerityTable + " has it")
	case errors.Is(err, ErrHidden) && os.Geteuid() != 0:
		return unknown(err.Error(), "run this as root to know")
	case errors.Is(err, ErrHidden):
		return no(err.Error(), "sysctl kernel.kptr_restrict=1 while iped starts, and CAP_SYSLOG for it")
	}
	return no(err.Error(), rebuild("CONFIG_KALLSYMS_ALL=y"))
}

func lookBuiltinSig(s *System, k kernelBTF) finding {
	if s.exists(requireFSSignatures) {
		return yes("/" + requireFSSignatures + " exists")
	}
	return no("/"+requireFSSignatures+" does not exist", rebuild("CONFIG_FS_VERITY_BUILTIN_SIGNATURES=y"))
}

// lookKeyrings wants the function that lets a BPF program ask, and programs that are
// called.
func lookKeyrings(s *System, k kernelBTF) finding {
	switch list := lookLSMList(s, k); {
	case !k.present():
		return unknown("no BTF", "")
	case !k.hasFunc(verifySignature):
		return no("the kernel has no "+verifySignature+" for BPF programs", rebuild("CONFIG_SYSTEM_DATA_VERIFICATION=y"))
	case list.state != Yes:
		return list
	}
	return yes("BPF programs may call " + verifySignature)
}

func lookBootVerified(*System, kernelBTF) finding {
	return yes("a superblock of type rootfs is the initramfs; users cannot mount that type")
}

// lookRoothash wants the driver's own type information: the root hash stands in
// a structure that only the driver describes.
func lookRoothash(s *System, k kernelBTF) finding {
	if f := lookDMVerity(s, k); f.state != Yes {
		return f
	}
	if s.exists("sys/kernel/btf/dm_verity") {
		return yes("read from the device's table; types from the module's BTF")
	}
	if k.hasStruct("dm_verity") {
		return yes("read from the device's table; types from the kernel's BTF")
	}
	return no("dm_verity has no BTF", rebuild("CONFIG_DEBUG_INFO_BTF_MODULES=y"))
}

func lookRoothashSig(s *System, k kernelBTF) finding {
	if f := lookRoothash(s, k); f.state != Yes {
		return f
	}
	if s.exists(requireDMSignatures) {
		return yes("the driver checks signatures when a device is made")
	}
	return no("dm_verity was built without signatures", rebuild("CONFIG_DM_VERITY_VERIFY_ROOTHASH_SIG=y"))
}

func lookFileDigest(s *System, k kernelBTF) finding {
	if f := lookVerityInfo(s, k); f.state != Yes {
		f.detail += "; the property is false in this release"
		return f
	}
	return yes("read from struct fsverity_info")
}

// lookFileSig wants what tells of a verified signature: the kernel's announcement,
// which has a hook since 6.12, or the end of the function that verifies. Without
// either the property is false both as TRUE and as FALSE, as in a kernel built
// without it.
func lookFileSig(s *System, k kernelBTF) finding {
	if f := lookBuiltinSig(s, k); f.state != Yes {
		return f
	}
	switch {
	case k.hasFunc(setIntegrityAttach):
		return yes("the hook inode_setintegrity announces each verified signature")
	case k.hasFunc(verifyFileSignature):
		return yes("the end of " + verifyFileSignature + " tells of each verified signature")
	}
	return no(fmt.Sprintf("neither a hook inode_setintegrity nor a function %s in %s: neither fsverity_signature=TRUE nor =FALSE matches here", verifyFileSignature, s.release()),
		"boot Linux "+setIntegrityKernel+" or later, or name files by fsverity_digest")
}
