package abi_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/linux/abi"
)

// full is a machine on which everything is there, as Debian's 6.12 would be.
func full(t *testing.T) map[string]string {
	return map[string]string{
		"proc/sys/kernel/osrelease":                          "6.12.117-cloud-amd64\n",
		"sys/kernel/security/lsm":                            "capability,landlock,yama,bpf\n",
		"sys/kernel/btf/vmlinux":                             vmlinux(t, true, true, "bpf_verify_pkcs7_signature"),
		"sys/kernel/btf/dm_verity":                           "x",
		"sys/module/dm_verity/parameters/require_signatures": "N\n",
		"proc/sys/fs/verity/require_signatures":              "0\n",
		"proc/sys/kernel/ftrace_enabled":                     "1\n",
		"proc/self/mountinfo":                                "30 21 0:28 / /sys/fs/bpf rw - bpf bpf rw\n",
	}
}

// moved returns the BTF of a kernel that keeps fs-verity information in that member.
func moved(t *testing.T, structure, member string) string {
	t.Helper()
	word := &btf.Int{Name: "long", Size: 8, Encoding: btf.Signed}
	return marshal(t, &btf.Struct{Name: structure, Size: 8, Members: []btf.Member{{Name: member, Type: word}}},
		&btf.Struct{Name: "inode", Size: 8, Members: []btf.Member{{Name: "i_ino", Type: word}}})
}

// vmlinux returns BTF with the few types that probes look for.
func vmlinux(t *testing.T, setintegrity, verityInfo bool, functions ...string) string {
	t.Helper()
	word := &btf.Int{Name: "long", Size: 8, Encoding: btf.Signed}
	fn := func(name string) *btf.Func {
		return &btf.Func{Name: name, Type: &btf.FuncProto{Return: word}, Linkage: btf.GlobalFunc}
	}
	inode := &btf.Struct{Name: "inode", Size: 8, Members: []btf.Member{{Name: "i_ino", Type: word}}}
	if verityInfo {
		inode.Size = 16
		inode.Members = append(inode.Members, btf.Member{Name: "i_verity_info", Type: word, Offset: 64})
	}
	types := []btf.Type{fn("bpf_lsm_bprm_check_security"), fn("bpf_verify_pkcs7_signature"), inode,
		&btf.Struct{Name: "fsverity_info", Size: 8, Members: []btf.Member{{Name: "inode", Type: word}}}}
	if setintegrity {
		types = append(types, fn("bpf_lsm_inode_setintegrity"))
	}
	for _, name := range functions {
		types = append(types, fn(name))
	}
	return marshal(t, types...)
}

func marshal(t *testing.T, types ...btf.Type) string {
	t.Helper()
	b, err := btf.NewBuilder(types, nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := b.Marshal(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func probe(t *testing.T, files map[string]string, bpf error) abi.Report {
	t.Helper()
	s := abi.System{Root: machine(t, files), BPF: func() error { return bpf }}
	return s.Probe()
}

// machine writes the files below a directory.
func machine(t *testing.T, files map[string]string) (root string) {
	t.Helper()
	root = t.TempDir()
	for name, text := range files {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestFullMachine(t *testing.T) {
	r := probe(t, full(t), nil)
	if err := r.Err(); err != nil {
		t.Errorf("Err() = %v, want nil", err)
	}
	for _, f := range r.Features {
		want := abi.Yes
		if f.Kind == abi.Neighbour {
			want = abi.No
		}
		if f.State != want {
			t.Errorf("%s is %s (%s), want %s", f.Name, f.State, f.Detail, want)
		}
		if f.State == abi.Yes && f.Fix != "" {
			t.Errorf("%s is there and has a fix: %s", f.Name, f.Fix)
		}
		if f.Need == "" || f.Detail == "" || f.Min == "" {
			t.Errorf("%s lacks need, detail or minimum: %+v", f.Name, f)
		}
	}
}

func TestWhatIsMissing(t *testing.T) {
	const gone = "\x00"
	hidden := abi.No // from root, so from everybody
	if os.Geteuid() != 0 {
		hidden = abi.Unknown
	}
	tests := []struct {
		name    string
		change  map[string]string
		feature string
		state   abi.State
		fix     string
	}{
		{"bpf not in the list", map[string]string{"sys/kernel/security/lsm": "lockdown,capability,yama,apparmor"},
			abi.LSMList, abi.No, "lsm=lockdown,capability,yama,apparmor,bpf"},
		{"a name that only contains bpf", map[string]string{"sys/kernel/security/lsm": "capability,bpfx"},
			abi.LSMList, abi.No, "lsm=capability,bpfx,bpf"},
		{"no securityfs", map[string]string{"sys/kernel/security/lsm": gone},
			abi.LSMList, abi.Unknown, "mount -t securityfs"},
		{"ftrace off", map[string]string{"proc/sys/kernel/ftrace_enabled": "0\n"},
			abi.Ftrace, abi.No, "sysctl kernel.ftrace_enabled=1"},
		{"no function tracer", map[string]string{"proc/sys/kernel/ftrace_enabled": gone},
			abi.Ftrace, abi.Yes, ""},
		{"old kernel", map[string]string{"proc/sys/kernel/osrelease": "5.15.0"},
			abi.Kernel, abi.No, "boot Linux 6.1"},
		{"no BTF", map[string]string{"sys/kernel/btf/vmlinux": gone},
			abi.KernelBTF, abi.No, "CONFIG_DEBUG_INFO_BTF=y"},
		{"BTF is no BTF", map[string]string{"sys/kernel/btf/vmlinux": "nonsense"},
			abi.KernelBTF, abi.Unknown, ""},
		{"no BTF, configuration says off",
			map[string]string{"sys/kernel/btf/vmlinux": gone, "boot/config-6.12.117-cloud-amd64": "# CONFIG_BPF_LSM is not set\n"},
			abi.BPFLSM, abi.No, "CONFIG_BPF_LSM=y"},
		{"no BTF, configuration says on",
			map[string]string{"sys/kernel/btf/vmlinux": gone, "boot/config-6.12.117-cloud-amd64": "CONFIG_BPF_LSM=y\n"},
			abi.BPFLSM, abi.Yes, ""},
		{"module there, not loaded",
			map[string]string{"sys/module/dm_verity/parameters/require_signatures": gone,
				"lib/modules/6.12.117-cloud-amd64/modules.dep": "kernel/drivers/md/dm-verity.ko.xz: kernel/drivers/md/dm-bufio.ko.xz\n"},
			abi.PropDMVerityHash, abi.No, "modprobe dm_verity"},
		{"only a dependency", map[string]string{"sys/module/dm_verity/parameters/require_signatures": gone,
			"lib/modules/6.12.117-cloud-amd64/modules.dep": "kernel/x.ko: kernel/drivers/md/dm-verity.ko\n"},
			abi.DMVerity, abi.No, "CONFIG_DM_VERITY"},
		{"signed volumes off", map[string]string{"sys/module/dm_verity/parameters/require_signatures": gone,
			"sys/module/dm_verity/refcnt": "0"},
			abi.PropDMVeritySigned, abi.No, "CONFIG_DM_VERITY_VERIFY_ROOTHASH_SIG"},
		{"6.1 has no setintegrity", map[string]string{"sys/kernel/btf/vmlinux": vmlinux(t, false, true, "fsverity_verify_signature")},
			abi.PropFSVeritySigned, abi.Yes, ""},
		{"neither hook nor function", map[string]string{"sys/kernel/btf/vmlinux": vmlinux(t, false, true)},
			abi.PropFSVeritySigned, abi.No, "6.12"},
		{"built-in signatures off", map[string]string{"proc/sys/fs/verity/require_signatures": gone},
			abi.PropFSVeritySigned, abi.No, "CONFIG_FS_VERITY_BUILTIN_SIGNATURES"},
		{"facts moved out of struct inode", map[string]string{"sys/kernel/btf/vmlinux": vmlinux(t, true, false)},
			abi.PropFSVerityDigest, abi.No, ""},
		{"facts at an offset", map[string]string{"sys/kernel/btf/vmlinux": moved(t, "fsverity_operations", "inode_info_offs")},
			abi.PropFSVerityDigest, abi.Yes, ""},
		{"facts in a table", map[string]string{"sys/kernel/btf/vmlinux": moved(t, "fsverity_info", "rhash_head"),
			"proc/kallsyms": "ffffffff81000000 t jhash\nffffffff81f20d50 t rhashtable_jhash2\nffffffff84243f40 b fsverity_info_hash\n"},
			abi.PropFSVerityDigest, abi.Yes, ""},
		{"facts in a table, symbols without addresses", map[string]string{"sys/kernel/btf/vmlinux": moved(t, "fsverity_info", "rhash_head"),
			"proc/kallsyms": "0000000000000000 t rhashtable_jhash2\n0000000000000000 b fsverity_info_hash\n"},
			abi.PropFSVerityDigest, hidden, ""},
		{"facts in a table that is no symbol", map[string]string{"sys/kernel/btf/vmlinux": moved(t, "fsverity_info", "rhash_head"),
			"proc/kallsyms": "ffffffff81f20d50 t rhashtable_jhash2\nffffffff84243f40 b fsverity_info_hash2\n"},
			abi.PropFSVerityDigest, abi.No, "CONFIG_KALLSYMS_ALL"},
		{"kernel's own IPE", map[string]string{"sys/kernel/security/ipe/enforce": "1"},
			abi.KernelIPE, abi.Yes, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			files := full(t)
			for name, text := range tt.change {
				files[name] = text
				if text == gone {
					delete(files, name)
				}
			}
			f, ok := probe(t, files, nil).Feature(tt.feature)
			if !ok || f.State != tt.state || !strings.Contains(f.Fix, tt.fix) {
				t.Errorf("%s = %+v, want state %s and a fix with %q", tt.feature, f, tt.state, tt.fix)
			}
		})
	}
}

func TestErrCarriesFix(t *testing.T) {
	files := full(t)
	files["sys/kernel/security/lsm"] = "yama"
	err := probe(t, files, unix.ENOSYS).Err()
	var unsupported *abi.UnsupportedError
	if !errors.As(err, &unsupported) {
		t.Fatalf("Err() = %v, want an UnsupportedError", err)
	}
	if unsupported.Feature != abi.BPFSyscall || unsupported.Hint() == "" {
		t.Errorf("first error is %+v, want %s with a fix", unsupported, abi.BPFSyscall)
	}
	if !strings.Contains(err.Error(), "lsm-list: bpf is not in the active list yama") {
		t.Errorf("Err() = %v, does not name the list", err)
	}
}

// TestUsable: what nobody was allowed to see is no error to whoever asks, and one
// to an engine if it is the list of security modules.
func TestUsable(t *testing.T) {
	files := full(t)
	if err := probe(t, files, nil).Usable(); err != nil {
		t.Errorf("full machine: %v", err)
	}
	delete(files, "sys/kernel/security/lsm")
	r := probe(t, files, nil)
	var unsupported *abi.UnsupportedError
	if err := r.Usable(); r.Err() != nil || !errors.As(err, &unsupported) || unsupported.Feature != abi.LSMList || unsupported.Hint() == "" {
		t.Errorf("no list: Err() = %v, Usable() = %v; want nil and %s with a fix", r.Err(), err, abi.LSMList)
	}
	files["sys/kernel/security/lsm"] = "yama"
	if err := probe(t, files, nil).Usable(); err == nil {
		t.Error("bpf is not in the list, Usable() = nil")
	}
}

func TestParseVersion(t *testing.T) {
	tests := []struct {
		in   string
		want string
	}{
		{"6.12.117-cloud-amd64", "6.12.117"}, {"6.1.0-51-amd64", "6.1.0"},
		{"7.0-rc3", "7.0.0"}, {"6.18", "6.18.0"}, {"6", ""}, {"", ""}, {"linux", ""}, {"6.-1.2", ""},
	}
	for _, tt := range tests {
		v, err := abi.ParseVersion(tt.in)
		if got := v.String(); (err == nil) != (tt.want != "") || err == nil && got != tt.want {
			t.Errorf("ParseVersion(%q) = %s, %v, want %q", tt.in, got, err, tt.want)
		}
	}
	if v := (abi.Version{Major: 6, Minor: 2}); !v.AtLeast(6, 1) || v.AtLeast(6, 12) || v.AtLeast(7, 0) {
		t.Errorf("order of %v is wrong", v)
	}
}

// TestProbeHere runs the real probes on whatever runs the tests: they must end
// with one row a feature, and change nothing.
func TestProbeHere(t *testing.T) {
	r := (&abi.System{}).Probe()
	if _, err := abi.ParseVersion(r.Release); err != nil {
		t.Error(err)
	}
	if len(r.Features) != 18 {
		t.Errorf("%d features, want 18", len(r.Features))
	}
	for _, f := range r.Features {
		t.Logf("%-30s %-8s %s", f.Name, f.State, f.Detail)
	}
}

// TestGivenTypes: one who has the kernel's types gives them, and they are not read
// again; but where the kernel shows none, nothing is asked for in their place.
func TestGivenTypes(t *testing.T) {
	files, root := full(t), t.TempDir()
	spec, err := btf.LoadSpecFromReader(strings.NewReader(files["sys/kernel/btf/vmlinux"]))
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	s := abi.System{Root: root, BPF: func() error { return nil }, Types: func() (*btf.Spec, error) { asked++; return spec, nil }}
	if f, _ := s.Probe().Feature(abi.KernelBTF); f.State != abi.No || asked != 0 {
		t.Errorf("no file: %s after %d questions: %s", f.State, asked, f.Detail)
	}
	if err := os.MkdirAll(filepath.Join(root, "sys/kernel/btf"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "sys/kernel/btf/vmlinux"), []byte("not looked at"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := s.Probe()
	for _, name := range []string{abi.KernelBTF, abi.BPFLSM, abi.VerityInfo} {
		if f, _ := r.Feature(name); f.State != abi.Yes || asked != 1 {
			t.Errorf("%s is %s after %d questions: %s", name, f.State, asked, f.Detail)
		}
	}
}

// TestLooksUpSymbolsOnce: the kernel's list of symbols has 200,000 lines, which one who
// needs another feature does not wait for, and one who needs all waits for once.
func TestLooksUpSymbolsOnce(t *testing.T) {
	files, asked := full(t), 0
	files["sys/kernel/btf/vmlinux"] = moved(t, "fsverity_info", "rhash_head")
	s := abi.System{
		Root: machine(t, files), BPF: func() error { return nil },
		Addresses: func(names ...string) ([]uint64, error) { asked++; return make([]uint64, len(names)), nil },
	}
	if f, ok := s.Feature(abi.KernelBTF); !ok || f.State != abi.Yes || asked != 0 {
		t.Errorf("%s is %s after %d questions: %s", f.Name, f.State, asked, f.Detail)
	}
	r := s.Probe()
	for _, name := range []string{abi.VerityInfo, abi.PropFSVerityDigest} {
		if f, _ := r.Feature(name); f.State != abi.Yes || asked != 1 {
			t.Errorf("%s is %s after %d questions: %s", name, f.State, asked, f.Detail)
		}
	}
	if f, ok := s.Feature("flux"); ok {
		t.Errorf("a feature that is none: %+v", f)
	}
}
