package abi

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// rebuild is the fix for a build option that is off.
func rebuild(option string) string {
	return "boot a kernel built with " + option
}

func lookKernel(s *System, _ kernelBTF) finding {
	rel := s.release()
	v, err := ParseVersion(rel)
	if err != nil {
		return unknown(err.Error(), "mount /proc")
	}
	if !v.AtLeast(minMajor, minMinor) {
		return no("this is "+rel, "boot Linux "+minKernel+" or later")
	}
	return yes(rel)
}

func lookSyscall(s *System, _ kernelBTF) finding {
	err := s.bpf()
	switch {
	case err == nil:
		return yes("bpf(2) answers")
	case errors.Is(err, unix.ENOSYS):
		return no("bpf(2): "+err.Error(), rebuild("CONFIG_BPF_SYSCALL=y"))
	case os.Geteuid() != 0:
		return unknown("bpf(2): "+err.Error(), "run this as root to know")
	}
	return no("bpf(2): "+err.Error(), s.permissionFix())
}

// lookBPFLSM prefers the kernel's type information, which cannot lie about the
// running kernel, to a configuration file, which may belong to another build.
func lookBPFLSM(s *System, k kernelBTF) finding {
	const option = "CONFIG_BPF_LSM=y"
	if k.present() {
		if k.hasFunc(anyBPFLSMAttach) {
			return yes("attach points are in the kernel's BTF")
		}
		return no("the kernel's BTF has no attach points", rebuild(option))
	}
	switch v, known := s.config("CONFIG_BPF_LSM"); {
	case !known:
		return unknown("neither BTF nor configuration can be read", rebuild(option)+" and CONFIG_DEBUG_INFO_BTF=y")
	case v == "y":
		return yes(option)
	}
	return no("CONFIG_BPF_LSM is off", rebuild(option))
}

func lookLSMList(s *System, _ kernelBTF) finding {
	const file = "/sys/kernel/security/lsm"
	list, err := s.read(file)
	if err != nil {
		return unknown(fmt.Sprintf("%s cannot be read: %v", file, reason(err)),
			"mount -t securityfs securityfs /sys/kernel/security")
	}
	names := strings.Split(list, ",")
	if slices.Contains(names, "bpf") {
		return yes("lsm=" + list)
	}
	want := strings.Trim(list+",bpf", ",")
	return no("bpf is not in the active list "+list,
		"add this to the kernel command line and reboot: lsm="+want)
}

func lookKernelBTF(_ *System, k kernelBTF) finding {
	switch {
	case k.present():
		return yes("/sys/kernel/btf/vmlinux")
	case k.absent():
		return no("/sys/kernel/btf/vmlinux does not exist", rebuild("CONFIG_DEBUG_INFO_BTF=y"))
	}
	return unknown(fmt.Sprintf("/sys/kernel/btf/vmlinux: %v", reason(k.err)), "run this as root to know")
}

func lookModuleBTF(s *System, k kernelBTF) finding {
	entries, err := os.ReadDir(s.path("sys/kernel/btf"))
	if err != nil || !k.present() {
		return no("no BTF at all", rebuild("CONFIG_DEBUG_INFO_BTF=y"))
	}
	if n := len(entries) - 1; n > 0 {
		return yes(fmt.Sprintf("%d modules have it", n))
	}
	if v, known := s.config("CONFIG_DEBUG_INFO_BTF_MODULES"); known && v != "y" {
		return no("CONFIG_DEBUG_INFO_BTF_MODULES is off", rebuild("CONFIG_DEBUG_INFO_BTF_MODULES=y"))
	}
	return unknown("no module with BTF is loaded", "")
}

func lookIPE(s *System, _ kernelBTF) finding {
	if s.exists("sys/kernel/security/ipe") {
		return yes("/sys/kernel/security/ipe exists: this kernel enforces a policy of its own if it was given one")
	}
	if list, err := s.read("sys/kernel/security/lsm"); err == nil {
		return no("ipe is not in the active list "+list, "")
	}
	return unknown("securityfs is not mounted", "")
}

// reason is the bare cause of a file error, without operation and path.
func reason(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
