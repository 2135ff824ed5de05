package abi

import (
	"slices"

	"github.com/ipe-linux/ipe/internal/hint"
)

// The names of the probes. Those of properties are the policy language's words.
const (
	Kernel             = "kernel"
	BPFSyscall         = "bpf-syscall"
	BPFLSM             = "bpf-lsm"
	LSMList            = "lsm-list"
	KernelBTF          = "kernel-btf"
	Ftrace             = "ftrace"
	BPFFileSystem      = "bpf-fs"
	BPFPrograms        = "bpf-programs"
	ModuleBTF          = "module-btf"
	DMVerity           = "dm-verity"
	VerityInfo         = "inode-verity-info"
	FSVerityBuiltinSig = "fs-verity-builtin-signatures"
	PropBootVerified   = "boot_verified"
	PropDMVerityHash   = "dmverity_roothash"
	PropDMVeritySigned = "dmverity_signature"
	PropFSVerityDigest = "fsverity_digest"
	PropFSVeritySigned = "fsverity_signature"
	KernelKeyrings     = "kernel-keyrings"
	KernelIPE          = "kernel-ipe"
)

// What the probes look for.
const (
	minMajor, minMinor  = 6, 1
	minKernel           = "6.1"
	setIntegrityKernel  = "6.12"
	setIntegrityAttach  = "bpf_lsm_inode_setintegrity"
	verifyFileSignature = "fsverity_verify_signature"
	anyBPFLSMAttach     = "bpf_lsm_bprm_check_security"
	verifySignature     = "bpf_verify_pkcs7_signature"
	requireFSSignatures = "proc/sys/fs/verity/require_signatures"
	requireDMSignatures = "sys/module/dm_verity/parameters/require_signatures"
)

// finding is what one probe saw.
type finding struct {
	state  State
	detail string
	fix    string
}

func yes(detail string) finding     { return finding{state: Yes, detail: detail} }
func no(detail, fix string) finding { return finding{state: No, detail: detail, fix: fix} }
func unknown(detail, fix string) finding {
	return finding{state: Unknown, detail: detail, fix: fix}
}

// probe is one row of the table.
type probe struct {
	name string
	kind Kind
	min  string
	need string
	look func(*System, kernelBTF) finding
}

// probes is the table of features, in the order of a report.
func probes() []probe {
	return []probe{
		{Kernel, Engine, minKernel, "the hooks and structures that the BPF engine was written against", lookKernel},
		{BPFSyscall, Engine, "4.4", "loading programs", lookSyscall},
		{BPFLSM, Engine, "5.7", "attaching programs to security hooks", lookBPFLSM},
		{LSMList, Engine, "5.7", "having the attached programs called at all", lookLSMList},
		{KernelBTF, Engine, "5.4", "finding the kernel's structures whatever its version and configuration", lookKernelBTF},
		{Ftrace, Aid, minKernel, "calling the programs; the kernel does so by way of ftrace", lookFtrace},
		{BPFFileSystem, Engine, "4.4", "keeping programs when the process that loaded them ends", lookBPFFS},
		{BPFPrograms, Engine, minKernel, "loading the programs, which read kernel memory", lookPrograms},
		{ModuleBTF, Aid, "5.11", "finding the structures of drivers built as modules", lookModuleBTF},
		{DMVerity, Aid, "3.4", "dm-verity volumes", lookDMVerity},
		{VerityInfo, Aid, "5.4", "reading a file's fs-verity digest in any hook", lookVerityInfo},
		{FSVerityBuiltinSig, Aid, "5.4", "signatures that the kernel itself checks when an fs-verity file is opened", lookBuiltinSig},
		{KernelKeyrings, Aid, minKernel, "taking policies that a key of the kernel's own keyrings signed (iped " + hint.TrustKernel + ")", lookKeyrings},
		{PropBootVerified, Property, minKernel, "trusting what came with the initramfs", lookBootVerified},
		{PropDMVerityHash, Property, minKernel, "trusting a volume by its root hash", lookRoothash},
		{PropDMVeritySigned, Property, minKernel, "trusting a volume by its signed root hash", lookRoothashSig},
		{PropFSVerityDigest, Property, minKernel, "trusting a file by its fs-verity digest", lookFileDigest},
		{PropFSVeritySigned, Property, minKernel, "trusting a file by its built-in fs-verity signature", lookFileSig},
		{KernelIPE, Neighbour, "6.12", "nothing here; its own policy, if one is active, decides as well", lookIPE},
	}
}

// Examine looks at the running kernel, and tries.
func Examine() Report { return (&System{}).Examine() }

// Probe runs every probe that only looks.
func (s *System) Probe() Report { return s.run(false) }

// Examine runs every probe, also those that load programs, which are thrown away at
// once. Whether the kernel takes them no file says.
func (s *System) Examine() Report { return s.run(true) }

// Feature runs the named probe alone, for one who needs no other: some read a list of
// 200,000 lines. Ok is false if there is no such probe.
func (s *System) Feature(name string) (f Feature, ok bool) {
	all := probes()
	i := slices.IndexFunc(all, func(p probe) bool { return p.name == name })
	if i < 0 {
		return Feature{}, false
	}
	return all[i].feature(s, s.btf()), true
}

func (s *System) run(trying bool) Report {
	s = s.once()
	types := s.btf()
	r := Report{Release: s.release()}
	for _, p := range probes() {
		if p.name == BPFPrograms && !trying {
			continue // that is for one who wants to know, not for one who is about to load all there is
		}
		r.Features = append(r.Features, p.feature(s, types))
	}
	return r
}

func (p probe) feature(s *System, types kernelBTF) Feature {
	f := p.look(s, types)
	return Feature{
		Name: p.name, Kind: p.kind, State: f.state, Min: p.min,
		Need: p.need, Detail: f.detail, Fix: f.fix,
	}
}

// Explain finds out why programs do not load: an [UnsupportedError], or nil if they do
// as far as probes can tell. Whoever has something attached already must not ask before
// it fails: what the kernel took once goes on, whatever it would take today.
func Explain() error {
	s := &System{}
	if f := lookPrograms(s, s.btf()); f.state == No {
		return &UnsupportedError{Feature: BPFPrograms, Detail: f.detail, Fix: f.fix}
	}
	return nil
}
