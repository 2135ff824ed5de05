package abi

// The kernel's IPE keeps each fact in a structure or a member that exists only where
// the property is compiled in.
const (
	ipeVolume  = "ipe_bdev"
	ipeInode   = "ipe_inode"
	ipeContext = "ipe_eval_ctx"
)

// IPEProperties says which properties the kernel's own IPE was built with. One that
// is not there is false in both forms.
func IPEProperties() []Feature { return (&System{}).IPEProperties() }

// IPEProperties looks in the kernel's type information, which cannot lie about the
// running kernel, and then in its configuration.
func (s *System) IPEProperties() []Feature {
	k := s.btf()
	var fs []Feature
	for _, p := range []struct {
		name, need, option string
		there              bool
	}{
		{PropBootVerified, "trusting what came with the initramfs", "CONFIG_SECURITY_IPE", k.hasStruct(ipeContext)},
		{PropDMVerityHash, "trusting a volume by its root hash", "CONFIG_IPE_PROP_DM_VERITY", k.hasMember(ipeVolume, "root_hash")},
		{PropDMVeritySigned, "trusting a volume by its signed root hash", "CONFIG_IPE_PROP_DM_VERITY_SIGNATURE", k.hasMember(ipeVolume, "dm_verity_signed")},
		{PropFSVerityDigest, "trusting a file by its fs-verity digest", "CONFIG_IPE_PROP_FS_VERITY", k.hasMember(ipeContext, "ino")},
		{PropFSVeritySigned, "trusting a file by its built-in fs-verity signature", "CONFIG_IPE_PROP_FS_VERITY_BUILTIN_SIG", k.hasStruct(ipeInode)},
	} {
		f := s.lookIPEProperty(k, p.option, p.there)
		fs = append(fs, Feature{Name: p.name, Kind: Property, State: f.state, Min: "6.12", Need: p.need, Detail: f.detail, Fix: f.fix})
	}
	return fs
}

func (s *System) lookIPEProperty(k kernelBTF, option string, there bool) finding {
	if k.hasStruct(ipeContext) {
		if there {
			return yes("compiled in, by the kernel's BTF")
		}
		return no("this kernel's IPE was built without it: neither =TRUE nor =FALSE matches here", rebuild(option+"=y"))
	}
	switch v, known := s.config(option); {
	case !known:
		return unknown("neither BTF nor configuration can be read", "")
	case v == "y":
		return yes(option + "=y")
	}
	return no("this kernel's IPE was built without it: neither =TRUE nor =FALSE matches here", rebuild(option+"=y"))
}
