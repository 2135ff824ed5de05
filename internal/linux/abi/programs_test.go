package abi_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/linux/abi"
)

// verifier plays a kernel that refuses some helpers, in the words that it has for it.
func verifier(words string, refused ...asm.BuiltinFunc) func(asm.Instructions) abi.Attempt {
	return func(program asm.Instructions) abi.Attempt {
		call := program[0]
		if !call.IsBuiltinCall() {
			return abi.Attempt{Compiled: true}
		}
		if fn := asm.BuiltinFunc(call.Constant); slices.Contains(refused, fn) {
			return abi.Attempt{Err: unix.EINVAL, Log: fmt.Sprintf("0: (85) call\n%s%s#%d\n", words, "bpf_probe_read", fn)}
		}
		return abi.Attempt{Err: unix.EACCES, Log: "R1 !read_ok\n"} // it does not like the arguments
	}
}

func failing(err error) func(asm.Instructions) abi.Attempt {
	return func(asm.Instructions) abi.Attempt { return abi.Attempt{Err: err} }
}

// TestPrograms: that the kernel has something does not mean that it allows it.
func TestPrograms(t *testing.T) {
	denied := abi.No // to root, so to everybody
	if os.Geteuid() != 0 {
		denied = abi.Unknown
	}
	caps := func(effective string) map[string]string {
		return map[string]string{"proc/self/status": "Name:\tipe\nCapEff:\t" + effective + "\nCapBnd:\t0\n", "proc/self/uid_map": "         0          0 4294967295\n"}
	}
	const all = "000001ffffffffff"
	tests := []struct {
		name   string
		files  map[string]string
		load   func(asm.Instructions) abi.Attempt
		maps   error
		state  abi.State
		detail string
		fix    string
	}{
		{"all is well", nil, verifier(""), nil, abi.Yes, "load", ""},
		{"lockdown=confidentiality, to 6.7", map[string]string{"sys/kernel/security/lockdown": "none integrity [confidentiality]\n"},
			verifier("unknown func ", asm.FnProbeReadKernel, asm.FnProbeReadKernelStr), nil, abi.No, "bpf_probe_read, bpf_probe_read", "boot with lockdown=integrity"},
		{"lockdown=confidentiality, from 6.8", map[string]string{"sys/kernel/security/lockdown": "none integrity [confidentiality]\n"},
			verifier("program of this type cannot use helper ", asm.FnProbeReadKernel), nil, abi.No, "bpf_probe_read", "boot with lockdown=integrity"},
		{"refused without lockdown", map[string]string{"sys/kernel/security/lockdown": "none [integrity] confidentiality\n"},
			verifier("unknown func ", asm.FnLoop), nil, abi.No, "bpf_probe_read", "CAP_PERFMON"},
		{"no capabilities", caps("000001fffeffffff"), failing(unix.EPERM), nil, denied, "operation not permitted", ""},
		{"memory is over", caps(all), verifier(""), unix.ENOMEM, abi.No, "cannot allocate memory", "limit of memory"},
		{"interpreter", nil, func(asm.Instructions) abi.Attempt { return abi.Attempt{} }, nil, abi.No, "does not compile", "net.core.bpf_jit_enable=1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			files := full(t)
			for name, text := range tt.files {
				files[name] = text
			}
			s := abi.System{Root: plant(t, files), Load: tt.load, Maps: func() error { return tt.maps }, BPF: func() error { return nil }}
			f, ok := s.Examine().Feature(abi.BPFPrograms)
			if !ok || f.State != tt.state || !strings.Contains(f.Detail, tt.detail) || !strings.Contains(f.Fix, tt.fix) {
				t.Errorf("%+v, want state %s, %q and a fix with %q", f, tt.state, tt.detail, tt.fix)
			}
			if _, tried := s.Probe().Feature(abi.BPFPrograms); tried {
				t.Error("who only looks has tried")
			}
		})
	}
}

// TestWhatIsNotPermitted: who may not use bpf(2) learns what is missing.
func TestWhatIsNotPermitted(t *testing.T) {
	const all, initial = "000001ffffffffff", "         0          0 4294967295\n"
	for _, tt := range []struct{ name, effective, users, fix string }{
		{"no capability", "00000000a80425fb", initial, "CAP_BPF, CAP_PERFMON, CAP_SYS_ADMIN"},
		{"one is missing", "000001bfffffffff", initial, "CAP_PERFMON, which"},
		{"another user namespace", all, "         0     100000      65536\n", "initial user namespace"},
		{"something else", all, initial, "seccomp"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := full(t)
			files["proc/self/status"] = "Name:\tipe\nCapEff:\t" + tt.effective + "\nSeccomp:\t0\n"
			files["proc/self/uid_map"] = tt.users
			s := abi.System{Root: plant(t, files), Load: verifier(""), Maps: func() error { return unix.EPERM }, BPF: func() error { return nil }}
			f, _ := s.Examine().Feature(abi.BPFPrograms)
			if f.State != abi.No || !strings.Contains(f.Fix, tt.fix) {
				t.Errorf("%+v, want a fix with %q", f, tt.fix)
			}
		})
	}
}

func TestBPFFileSystem(t *testing.T) {
	const proc = "21 1 0:20 / /proc rw - proc proc rw\n"
	for _, tt := range []struct {
		name       string
		mounts     string
		kinds      string
		namespaces []string // ours and init's
		state      abi.State
		fix        string
	}{
		{"mounted", proc + "30 21 0:28 / /sys/fs/bpf rw,nosuid shared:9 - bpf bpf rw,mode=700\n", "", nil, abi.Yes, ""},
		{"covered", "30 21 0:28 / /sys/fs/bpf rw - bpf bpf rw\n31 30 0:29 / /sys/fs/bpf rw - tmpfs none rw\n", "nodev\tbpf\n", []string{"mnt:[2]", "mnt:[1]"}, abi.No, "mount -t bpf"},
		{"not mounted", proc, "nodev\tproc\nnodev\tbpf\n", []string{"mnt:[1]", "mnt:[1]"}, abi.Yes, ""},
		{"not mounted, elsewhere", proc, "nodev\tbpf\n", []string{"mnt:[2]", "mnt:[1]"}, abi.No, "in that of init"},
		{"not mounted, init is hidden", proc, "nodev\tbpf\n", []string{"mnt:[2]"}, abi.Unknown, "as root"},
		{"not mounted, this process is hidden", proc, "nodev\tbpf\n", nil, abi.Unknown, "mount -t bpf"},
		{"the kernel has none", proc, "nodev\tproc\n\text4\n", []string{"mnt:[1]", "mnt:[1]"}, abi.No, "CONFIG_BPF_SYSCALL"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := plant(t, map[string]string{"proc/self/mountinfo": tt.mounts, "proc/filesystems": tt.kinds, "proc/self/ns/x": "", "proc/1/ns/x": ""})
			for i, ns := range tt.namespaces {
				if err := os.Symlink(ns, root+[]string{"/proc/self/ns/mnt", "/proc/1/ns/mnt"}[i]); err != nil {
					t.Fatal(err)
				}
			}
			s := abi.System{Root: root, BPF: func() error { return errors.New("not asked") }}
			f, _ := s.Probe().Feature(abi.BPFFileSystem)
			if f.State != tt.state || !strings.Contains(f.Fix, tt.fix) {
				t.Errorf("%+v, want state %s and a fix with %q", f, tt.state, tt.fix)
			}
		})
	}
}
