package abi_test

import (
	"crypto/x509"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"

	"github.com/ipe-linux/ipe/internal/linux/abi"
)

// plant makes a root with those files.
func plant(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		p := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestTrustsAny: a key is known by its identifier, its issuer's, or, if it has none, by
// its serial number.
func TestTrustsAny(t *testing.T) {
	keys := []string{"Debian Snakeoil: 0a1b", "DigiCert: 77"}
	cert := func(subject, issuer string, serial int64) []*x509.Certificate {
		return []*x509.Certificate{
			{SubjectKeyId: []byte("other"), SerialNumber: big.NewInt(1)},
			{SubjectKeyId: []byte(subject), AuthorityKeyId: []byte(issuer), SerialNumber: big.NewInt(serial)},
		}
	}
	unreadable := errors.New("no keys")
	for _, tt := range []struct {
		name  string
		certs []*x509.Certificate
		err   error
		want  bool
	}{
		{"none", nil, nil, false},
		{"known key", cert("\x0a\x1b", "", 1), nil, true},
		{"known issuer", cert("x", "\x0a\x1b", 1), nil, true},
		{"known by its serial number", cert("", "", 0x77), nil, true},
		{"the end of a known key", cert("\x1b", "", 1), nil, false},
		{"a serial number does not count", cert("x", "", 0x77), nil, false},
		{"keys cannot be read", cert("\x0a\x1b", "", 1), unreadable, false},
	} {
		s := abi.System{Keys: func() ([]string, error) { return keys, tt.err }}
		if got, err := s.TrustsAny(tt.certs); got != tt.want || err != tt.err {
			t.Errorf("%s: %v, %v; want %v, %v", tt.name, got, err, tt.want, tt.err)
		}
	}
}

func TestEnginesPresent(t *testing.T) {
	for _, tt := range []struct {
		name          string
		files         map[string]string
		ipe, attached bool
	}{
		{"none", nil, false, false},
		{"the kernel's", map[string]string{"sys/kernel/security/ipe/enforce": "1"}, true, false},
		{"both", map[string]string{"sys/kernel/security/ipe/enforce": "1", "sys/fs/bpf/ipe/v3-0123456789abcdef/link_mmap_file": ""}, true, true},
	} {
		s := abi.System{Root: plant(t, tt.files)}
		if s.HasIPE() != tt.ipe || s.BPFAttached() != tt.attached {
			t.Errorf("%s: the kernel has IPE: %v, BPF attached: %v; want %v, %v", tt.name, s.HasIPE(), s.BPFAttached(), tt.ipe, tt.attached)
		}
	}
}

// ipeTypes returns BTF of an IPE built with everything or with nothing.
func ipeTypes(t *testing.T, everything bool) string {
	t.Helper()
	word := &btf.Int{Name: "long", Size: 8, Encoding: btf.Signed}
	object := func(name string, members ...string) btf.Type {
		st := &btf.Struct{Name: name, Size: uint32(8 * len(members))}
		for i, m := range members {
			st.Members = append(st.Members, btf.Member{Name: m, Type: word, Offset: btf.Bits(64 * i)})
		}
		return st
	}
	types := []btf.Type{object("ipe_eval_ctx", "op")}
	if everything {
		types = []btf.Type{object("ipe_eval_ctx", "op", "ino"), object("ipe_bdev", "dm_verity_signed", "root_hash"), object("ipe_inode", "fs_verity_signed")}
	}
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

func TestIPEProperties(t *testing.T) {
	const release = "6.12.1"
	tests := []struct {
		name  string
		files map[string]string
		want  string // the states in the order of the language's words
	}{
		{"all by BTF", map[string]string{"sys/kernel/btf/vmlinux": ipeTypes(t, true)}, "yes yes yes yes yes"},
		{"none by BTF", map[string]string{"sys/kernel/btf/vmlinux": ipeTypes(t, false)}, "yes no no no no"},
		{"some by configuration", map[string]string{
			"proc/sys/kernel/osrelease": release + "\n",
			"boot/config-" + release:    "CONFIG_SECURITY_IPE=y\nCONFIG_IPE_PROP_DM_VERITY=y\n# CONFIG_IPE_PROP_FS_VERITY is not set\n",
		}, "yes yes no no no"},
		{"cannot be told", nil, "unknown unknown unknown unknown unknown"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, f := range (&abi.System{Root: plant(t, tt.files)}).IPEProperties() {
				got = append(got, string(f.State))
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("%v, want %s", got, tt.want)
			}
		})
	}
}
