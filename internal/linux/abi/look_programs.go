package abi

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/hint"
)

// Helpers are the functions of the kernel that the programs call. A kernel may have
// them, and refuse them to programs all the same.
func Helpers() []asm.BuiltinFunc {
	return []asm.BuiltinFunc{
		asm.FnMapLookupElem, asm.FnMapUpdateElem, asm.FnMapDeleteElem,
		asm.FnProbeReadKernel, asm.FnProbeReadKernelStr,
		asm.FnGetCurrentPidTgid, asm.FnGetCurrentUidGid, asm.FnGetCurrentComm, asm.FnGetCurrentTask, asm.FnKtimeGetBootNs,
		asm.FnRingbufReserve, asm.FnRingbufSubmit, asm.FnRingbufReserveDynptr, asm.FnRingbufSubmitDynptr, asm.FnRingbufDiscardDynptr, asm.FnRingbufQuery,
		asm.FnDynptrWrite, asm.FnDynptrData, asm.FnDynptrFromMem,
		asm.FnLoop, asm.FnGetFuncArg,
		asm.FnGetCurrentTaskBtf, asm.FnTaskStorageGet, asm.FnTaskStorageDelete,
	}
}

// lookPrograms tries what a start of the engine needs: to load programs of that kind,
// to have them compiled, to call each helper, to make the maps.
func lookPrograms(s *System, k kernelBTF) finding {
	if !k.present() {
		return unknown("no BTF", "")
	}
	if f := s.tryProgram(k); f.state != Yes {
		return f
	}
	if refused := s.refusedHelpers(k); len(refused) > 0 {
		return no("programs may not call "+strings.Join(refused, ", "), s.helperFix())
	}
	if err := s.makeMaps(); err != nil {
		return no(err.Error(), s.permissionFix())
	}
	return yes("programs of that kind load, and may call all that they need")
}

// tryProgram loads a program that does nothing.
func (s *System) tryProgram(k kernelBTF) finding {
	a := s.attempt(k, asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()})
	switch {
	case errors.Is(a.Err, errNoHook):
		return unknown(a.Err.Error(), "")
	case a.Err != nil && os.Geteuid() != 0:
		return unknown("load a program: "+a.Err.Error(), "run this as root to know")
	case a.Err != nil:
		return no("load a program: "+a.Err.Error(), s.permissionFix())
	case !a.Compiled:
		return no("the kernel does not compile programs, and those that call others do not run otherwise",
			"sysctl net.core.bpf_jit_enable=1, and in /etc/sysctl.d")
	}
	return yes("")
}

// refusedHelpers names the helpers that a program may not even mention. The calls are
// wrong on purpose: what else the verifier has against them does not count.
func (s *System) refusedHelpers(k kernelBTF) (names []string) {
	for _, h := range Helpers() {
		a := s.attempt(k, asm.Instructions{h.Call(), asm.Mov.Imm(asm.R0, 0), asm.Return()})
		if a.Err == nil {
			continue
		}
		// The first until Linux 6.8, the second since.
		for _, sign := range []string{"unknown func ", "program of this type cannot use helper "} {
			if _, rest, ok := strings.Cut(a.Log, sign); ok {
				name, _, _ := strings.Cut(rest, "#")
				names = append(names, name)
			}
		}
	}
	return names
}

const confidentiality = "[confidentiality]"

func (s *System) helperFix() string {
	if text, err := s.read("sys/kernel/security/lockdown"); err == nil && strings.Contains(text, confidentiality) {
		fix := "boot with lockdown=integrity, or none: lockdown=confidentiality keeps BPF programs from reading kernel memory, where the facts are"
		if s.exists("sys/kernel/security/ipe") {
			fix += "; or let the kernel's own IPE enforce, which needs no such programs: iped " + hint.EngineSecurityfs
		}
		return fix
	}
	return "give this process CAP_BPF and CAP_PERFMON, and boot without lockdown=confidentiality"
}

// The capabilities without which the kernel takes no programs of this kind.
var capabilities = []struct {
	name string
	bit  uint
}{{"CAP_BPF", unix.CAP_BPF}, {"CAP_PERFMON", unix.CAP_PERFMON}, {"CAP_SYS_ADMIN", unix.CAP_SYS_ADMIN}}

// permissionFix says what this process lacks, as far as it can be seen.
func (s *System) permissionFix() string {
	if missing := s.missingCapabilities(); len(missing) > 0 {
		return "give this process " + strings.Join(missing, ", ") + ", which a container may withhold"
	}
	if ids, err := s.read("proc/self/uid_map"); err == nil && !slices.Equal(strings.Fields(ids), []string{"0", "0", "4294967295"}) {
		return "run this in the initial user namespace: the capabilities of another one do not count"
	}
	return "allow bpf(2) to this process: no seccomp filter, no security module and no limit of memory against it"
}

func (s *System) missingCapabilities() (names []string) {
	status, err := s.read("proc/self/status")
	if err != nil {
		return nil
	}
	_, rest, _ := strings.Cut(status, "\nCapEff:")
	digits, _, _ := strings.Cut(strings.TrimSpace(rest), "\n")
	has, err := strconv.ParseUint(digits, 16, 64)
	if err != nil {
		return nil
	}
	for _, c := range capabilities {
		if has>>c.bit&1 == 0 {
			names = append(names, c.name)
		}
	}
	return names
}

const bpfDir = "/sys/fs/bpf"

// lookBPFFS wants the file system in which programs outlive the process that loaded
// them. It must be mounted where init sees it.
func lookBPFFS(s *System, _ kernelBTF) finding {
	mounts, err := s.read("proc/self/mountinfo")
	if err != nil {
		return unknown(fmt.Sprintf("/proc/self/mountinfo: %v", reason(err)), "mount /proc")
	}
	if MountedAt(mounts, bpfDir).Type == "bpf" {
		return yes("mounted at " + bpfDir)
	}
	if types, err := s.read("proc/filesystems"); err != nil || !slices.Contains(strings.Fields(types), "bpf") {
		return no("this kernel has no file system bpf", rebuild("CONFIG_BPF_SYSCALL=y"))
	}
	switch same, process, err := s.mountsOfInit(); {
	case err != nil && process == initProcess:
		return unknown(fmt.Sprintf("mount namespace of init: %v", reason(err)), "run this as root to know")
	case err != nil:
		return unknown(fmt.Sprintf("mount namespace: %v", reason(err)), "mount -t bpf bpf "+bpfDir)
	case !same:
		return no("not mounted at "+bpfDir+" in this mount namespace, which is not init's", "mount -t bpf bpf "+bpfDir+" in that of init, and show it here")
	}
	return yes("not mounted yet: iped mounts it")
}
