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

func TestChoose(t *testing.T) {
	ipe := map[string]string{"sys/kernel/security/ipe/enforce": "1"}
	both := map[string]string{"sys/kernel/security/ipe/enforce": "1", "sys/fs/bpf/ipe/v3-0123456789abcdef/link_mmap_file": ""}
	keys := []string{"Debian Snakeoil: 0a1b", "DigiCert: 77"}
	cert := func(subject, issuer string, serial int64) []*x509.Certificate {
		return []*x509.Certificate{
			{SubjectKeyId: []byte("other"), SerialNumber: big.NewInt(1)},
			{SubjectKeyId: []byte(subject), AuthorityKeyId: []byte(issuer), SerialNumber: big.NewInt(serial)},
		}
	}
	tests := []struct {
		name   string
		files  map[string]string
		wish   abi.Wish
		err    error
		engine string
		reason string
	}{
		{"no IPE", nil, abi.Wish{}, nil, "bpf", "does not run IPE"},
		{"IPE", ipe, abi.Wish{}, nil, "securityfs", "has IPE itself"},
		{"bpf is attached", both, abi.Wish{}, nil, "bpf", "attached already"},
		{"boot policy", ipe, abi.Wish{BootPolicy: true}, nil, "bpf", "boot policy"},
		{"root hashes", ipe, abi.Wish{RootHashes: true}, nil, "bpf", "signed root hashes"},
		{"known key", ipe, abi.Wish{Certificates: cert("\x0a\x1b", "", 1)}, nil, "securityfs", "trusts a given certificate"},
		{"known issuer", ipe, abi.Wish{Certificates: cert("x", "\x0a\x1b", 1)}, nil, "securityfs", "trusts a given certificate"},
		{"known by its serial number", ipe, abi.Wish{Certificates: cert("", "", 0x77)}, nil, "securityfs", "trusts a given certificate"},
		{"the end of a known key", ipe, abi.Wish{Certificates: cert("\x1b", "", 1)}, nil, "bpf", "none of the given certificates"},
		{"a serial number does not count", ipe, abi.Wish{Certificates: cert("x", "", 0x77)}, nil, "bpf", "none of the given certificates"},
		{"keys cannot be read", ipe, abi.Wish{Certificates: cert("x", "", 1)}, errors.New("no keys"), "bpf", "cannot be told: no keys"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := abi.System{Root: plant(t, tt.files), Keys: func() ([]string, error) { return keys, tt.err }}
			if got := s.Choose(tt.wish); got.Engine != tt.engine || !strings.Contains(got.Reason, tt.reason) {
				t.Errorf("chose %+v, want %s because %q", got, tt.engine, tt.reason)
			}
		})
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
