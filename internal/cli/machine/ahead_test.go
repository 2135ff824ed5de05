package machine

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/cli/ui/daemon"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/linux/abi"
	"github.com/ipe-linux/ipe/sign"
)

// installation is a machine below a directory, on which all is well.
type installation struct {
	t    *testing.T
	road road
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newInstallation(t *testing.T) *installation {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "owner"}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<31, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	m := &installation{t: t, road: road{root: t.TempDir(), owned: func(string) error { return nil }}, cert: cert, key: key}
	m.write("/proc/self/mountinfo", "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n21 20 0:5 / /proc rw - proc proc rw\n")
	m.ext("verity")
	m.write(trustDir+"/owner.der", string(der))
	m.store("policy_name=site policy_version=1.0.0\nDEFAULT action=DENY\n")
	m.write(stateDir+"/index", "")
	m.write("/usr/lib/systemd/system/iped.service", "")
	m.write("/etc/systemd/system/sysinit.target.wants/iped.service", "")
	m.write("/usr/lib/systemd/system-generators/iped-order", "")
	m.write("/run/systemd/generator/iped.service.d/10-order.conf", "")
	return m
}

func (m *installation) write(path, text string) {
	m.t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(m.road.at(path)), 0o755), os.WriteFile(m.road.at(path), []byte(text), 0o600)); err != nil {
		m.t.Fatal(err)
	}
}

func (m *installation) remove(path string) {
	m.t.Helper()
	if err := os.RemoveAll(m.road.at(path)); err != nil {
		m.t.Fatal(err)
	}
}

// ext makes the root's file system, as mke2fs does.
func (m *installation) ext(feature string) {
	m.t.Helper()
	m.write("/dev/block/8:1", "")
	device := m.road.at("/dev/block/8:1")
	mke2fs, err := exec.LookPath("mke2fs")
	if err != nil {
		mke2fs = "/usr/sbin/mke2fs"
	}
	if out, err := exec.Command(mke2fs, "-q", "-F", "-t", "ext4", "-O", feature, device, "1024k").CombinedOutput(); err != nil {
		m.t.Fatalf("mke2fs: %v\n%s", err, out)
	}
}

func (m *installation) store(text string) {
	m.t.Helper()
	message, err := sign.Content([]byte(text), m.cert, m.key, sign.Options{})
	if err != nil {
		m.t.Fatal(err)
	}
	m.write(fmt.Sprintf("%s/policies/%x.p7b", stateDir, sha256.Sum256(message)), string(message))
}

// TestRoadAhead: each thing that is not there is told, with what to do, and nothing else.
func TestRoadAhead(t *testing.T) {
	for what, tt := range map[string]struct {
		spoil        func(*installation)
		wrong        string
		state        abi.State
		detail, hint string
	}{
		"all is well":         {func(*installation) {}, "", "", "", ""},
		"no feature":          {func(m *installation) { m.ext("^verity") }, "fs-verity on the root", "no", "without the feature", "tune2fs -O verity /dev/sda1"},
		"no ext4 there":       {func(m *installation) { m.write("/dev/block/8:1", strings.Repeat("x", 4096)) }, "fs-verity on the root", "unknown", "no superblock", "tune2fs -l"},
		"another file system": {func(m *installation) { m.write("/proc/self/mountinfo", "20 1 8:1 / / rw - xfs /dev/sda1 rw\n") }, "fs-verity on the root", "no", "xfs", "ext4, f2fs or btrfs"},
		"an odd device": {func(m *installation) {
			m.ext("^verity")
			m.write("/proc/self/mountinfo", `20 1 8:1 / / rw - ext4 /dev/mapper/a\134x20b rw`+"\n")
		}, "fs-verity on the root", "no", `ext4 on "/dev/mapper/a\\x20b" is`, `tune2fs -O verity '/dev/mapper/a\x20b' turns`},
		"f2fs without":            {f2fs("encryption, extra_attr\n"), "fs-verity on the root", "no", "without the feature", "fsck.f2fs -O verity"},
		"f2fs with":               {f2fs("encryption, verity, extra_attr\n"), "", "", "", ""},
		"no certificates":         {func(m *installation) { m.remove(trustDir + "/owner.der"); m.remove(stateDir + "/policies") }, "trusted certificates", "no", "none", "systemctl reload iped"},
		"a stray":                 {func(m *installation) { m.write(trustDir+"/x.pem", "none") }, "trusted certificates", "no", "x.pem", "mend or remove"},
		"others may write":        {func(m *installation) { m.road.owned = deniesOwner(trustDir) }, "trusted certificates", "no", "others", "chmod go-w"},
		"others may choose":       {func(m *installation) { m.road.owned = deniesOwner(stateDir) }, "stored policies", "no", "others", "chmod go-w"},
		"a damaged policy":        {func(m *installation) { m.write(stateDir+"/policies/00.p7b", "x") }, "stored policies", "no", "is damaged", "deploy the policy anew"},
		"no index":                {func(m *installation) { m.remove(stateDir + "/index") }, "stored policies", "no", "which is active", "ipe policy activate"},
		"never deployed":          {func(m *installation) { m.remove(stateDir + "/policies") }, "stored policies", "no", "none in", "ipe policy load"},
		"not installed":           {func(m *installation) { m.remove("/usr/lib/systemd/system/iped.service") }, "service at boot", "no", "no unit", "make install"},
		"not enabled":             {func(m *installation) { m.remove("/etc/systemd/system/sysinit.target.wants") }, "service at boot", "no", "not enabled", "systemctl enable iped"},
		"no generator":            {func(m *installation) { m.remove("/usr/lib/systemd/system-generators") }, "early start", "no", "generator", "make install"},
		"deployed since, or late": {func(m *installation) { m.remove("/run/systemd/generator") }, "early start", "no", "after udev", "reboot"},
	} {
		t.Run(what, func(t *testing.T) {
			m := newInstallation(t)
			tt.spoil(m)
			found := false
			for _, s := range m.road.ahead() {
				switch {
				case s.Name == tt.wrong:
					found = true
					if s.State != tt.state || !strings.Contains(s.Detail, tt.detail) || !strings.Contains(s.Fix, tt.hint) {
						t.Errorf("%+v, want %s with %q and %q", s, tt.state, tt.detail, tt.hint)
					}
				case s.State != abi.Yes && (tt.wrong != "trusted certificates" || s.Name != "stored policies"): // nobody vouches for them then
					t.Errorf("%+v, want nothing against it", s)
				case s.State == abi.Yes && s.Fix != "":
					t.Errorf("%+v has something to do", s)
				}
			}
			if tt.wrong != "" && !found {
				t.Errorf("nothing is said of %s", tt.wrong)
			}
		})
	}
}

func f2fs(features string) func(*installation) {
	return func(m *installation) {
		m.write("/proc/self/mountinfo", "20 1 8:1 / / rw - f2fs /dev/sda1 rw\n")
		m.write("/sys/fs/f2fs/sda1/features", features)
	}
}

func deniesOwner(what string) func(string) error {
	return func(path string) error {
		if strings.HasSuffix(path, what) {
			return fmt.Errorf("%s: others can change it", path)
		}
		return nil
	}
}

const editedUnit = "/etc/systemd/system/iped.service.d/trust.conf"

// TestTrustOfTheUnit: doctor believes those whom the unit's command line names.
func TestTrustOfTheUnit(t *testing.T) {
	const at = "/usr/sbin/iped --trust "
	for name, tt := range map[string]struct {
		files map[string]string
		want  unitTrust
	}{
		"no unit":          {nil, unitTrust{paths: []string{trustDir}}},
		"the one of ipe":   {map[string]string{"/usr/lib/systemd/system/iped.service": "[Service]\nExecStart=" + at + trustDir + "\n"}, unitTrust{paths: []string{trustDir}}},
		"another in /etc":  {map[string]string{"/usr/lib/systemd/system/iped.service": "[Service]\nExecStart=" + at + "/a\n", "/etc/systemd/system/iped.service": "[Service]\nExecStart=" + at + "/b\n"}, unitTrust{paths: []string{"/b"}}},
		"a drop-in":        {map[string]string{editedUnit: "[Service]\nExecStart=\nExecStart=" + at + "kernel\n"}, unitTrust{kernel: true}},
		"both":             {map[string]string{editedUnit: "[Service]\nExecStart=" + at + "/a -trust=kernel \"--trust=/b\" \\\n  --trust '/c d'\n"}, unitTrust{paths: []string{"/a", "/b", "/c d"}, kernel: true}},
		"another section":  {map[string]string{editedUnit: "[Unit]\nExecStart=" + at + "kernel\n[Service]\n# ExecStart=" + at + "kernel\n"}, unitTrust{paths: []string{trustDir}}},
		"a later drop-in":  {map[string]string{editedUnit: "[Service]\nExecStart=" + at + "/a\n", "/usr/lib/systemd/system/iped.service.d/z.conf": "[Service]\nExecStart=" + at + "/b\n"}, unitTrust{paths: []string{"/b"}}},
		"a hidden drop-in": {map[string]string{editedUnit: "[Service]\n", "/usr/lib/systemd/system/iped.service.d/trust.conf": "[Service]\nExecStart=" + at + "kernel\n"}, unitTrust{paths: []string{trustDir}}},
		"a known one":      {map[string]string{editedUnit: "[Service]\nEnvironmentFile=-" + flagsFile + "\nExecStart=" + at + "/a $MORE $IPED_FLAGS\n", flagsFile: "# flags\nIPED_FLAGS=\"--profile strict --trust /b\"\n"}, unitTrust{paths: []string{"/a", "/b"}}},
		"one of the unit":  {map[string]string{editedUnit: "[Service]\nEnvironment=\"WHOM=/b /c\" X=1\nExecStart=" + at + "/a --trust $WHOM\n"}, unitTrust{paths: []string{"/a", "/b"}}},
		"emptied":          {map[string]string{editedUnit: "[Service]\nEnvironment=WHOM=/b\nEnvironment=\nEnvironmentFile=/f\nEnvironmentFile=\nExecStart=" + at + "/a --trust $WHOM\n", "/f": "WHOM=/c\n"}, unitTrust{paths: []string{"/a", "$WHOM"}, unsure: true}},
		"quotes in one":    {map[string]string{editedUnit: "[Service]\nEnvironment=\"WHOM='/b c' /d\"\nExecStart=" + at + "/a --trust $WHOM\n"}, unitTrust{paths: []string{"/a", "/b c"}}},
		"inside a word":    {map[string]string{editedUnit: "[Service]\nEnvironment=WHOM=/b\nExecStart=" + at + "/a --trust=${WHOM}\n"}, unitTrust{paths: []string{"/a", "${WHOM}"}, unsure: true}},
		"variables":        {map[string]string{editedUnit: "[Service]\nExecStart=" + at + "/a $MORE\n"}, unitTrust{paths: []string{"/a"}, unsure: true}},
		"nobody":           {map[string]string{editedUnit: "[Service]\nExecStart=/usr/sbin/iped\n"}, unitTrust{}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newInstallation(t)
			for path, text := range tt.files {
				m.write(path, text)
			}
			if got := m.road.trusts(); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}

// TestPolicyOfTheKernel: a policy that only the kernel can vouch for is not called untrusted,
// where the service asks the kernel; what is wrong with it whoever signed it, is.
func TestPolicyOfTheKernel(t *testing.T) {
	for name, tt := range map[string]struct {
		unit, text    string
		certificates  bool
		state         abi.State
		detail, trust string
	}{
		"kernel and certificates": {"--trust kernel --trust " + trustDir, "policy_name=other policy_version=1.0.0\nDEFAULT action=DENY\n", true, abi.Unknown, "the kernel, which is not asked here", "1 in "},
		"kernel alone":            {"--trust kernel", "policy_name=other policy_version=1.0.0\nDEFAULT action=DENY\n", true, abi.Unknown, "for 2 of 2", "the kernel's keyrings count"},
		"variables":               {"--trust " + trustDir + " $MORE", "policy_name=other policy_version=1.0.0\nDEFAULT action=DENY\n", true, abi.Unknown, "has variables", "1 in "},
		"certificates":            {"--trust " + trustDir, "policy_name=other policy_version=1.0.0\nDEFAULT action=DENY\n", true, abi.No, "verify envelope", "1 in "},
		"no certificate":          {"--trust " + trustDir, "policy_name=other policy_version=1.0.0\nDEFAULT action=DENY\n", false, abi.No, "verify envelope", "none in "},
		"no policy":               {"--trust kernel --trust " + trustDir, "no policy\n", true, abi.No, "the first line must be", "1 in "},
	} {
		t.Run(name, func(t *testing.T) {
			m, other := newInstallation(t), newInstallation(t)
			m.cert, m.key = other.cert, other.key
			m.store(tt.text)
			m.write(editedUnit, "[Service]\nExecStart=/usr/sbin/iped "+tt.unit+"\n")
			if !tt.certificates {
				m.remove(trustDir + "/owner.der")
			}
			for _, s := range m.road.ahead() {
				switch {
				case s.Name == "stored policies" && (s.State != tt.state || !strings.Contains(s.Detail, tt.detail) || s.Fix == ""):
					t.Errorf("%+v, want %s with %q", s, tt.state, tt.detail)
				case s.Name == "trusted certificates" && !strings.Contains(s.Detail, tt.trust):
					t.Errorf("%+v, want %q", s, tt.trust)
				}
			}
		})
	}
}

// TestShippedUnit: of the unit that is installed nothing is unsure.
func TestShippedUnit(t *testing.T) {
	m := newInstallation(t)
	for from, to := range map[string]string{"iped.service": "/usr/lib/systemd/system/iped.service", "iped.conf": flagsFile} {
		text, err := os.ReadFile(filepath.Join("..", "..", "..", "init", from))
		if err != nil {
			t.Fatal(err)
		}
		m.write(to, string(text))
	}
	if whom := m.road.trusts(); whom.unsure || !slices.Equal(whom.paths, []string{trustDir}) {
		t.Errorf("%+v", whom)
	}
	if s := m.road.profile(); s.State != abi.Yes || s.Detail != "strict, as the service's command line has it" {
		t.Errorf("%+v", s)
	}
	m.remove(flagsFile)
	if s := m.road.profile(); s.State != abi.Yes || !strings.HasPrefix(s.Detail, "compat, ") || !strings.Contains(s.Detail, `IPED_FLAGS="--profile strict" in `+flagsFile) {
		t.Errorf("%+v", s)
	}
	m.write(stateDir+"/profiles/index", "")
	if s := m.road.profile(); !strings.Contains(s.Detail, "one that is loaded") {
		t.Errorf("%+v", s)
	}
}

// TestProfileWithoutService: where nothing starts iped, no profile is called the one that is
// asked for; one that is loaded counts however iped is started.
func TestProfileWithoutService(t *testing.T) {
	m := newInstallation(t)
	m.write(flagsFile, "IPED_FLAGS=\"--profile strict\"\n")
	m.remove("/usr/lib/systemd/system/iped.service")
	if s := m.road.profile(); s.State != abi.Yes || s.Detail != "none is asked for: there is no unit iped.service" || s.Fix != "" {
		t.Errorf("%+v", s)
	}
	m.write(stateDir+"/profiles/index", "")
	if s := m.road.profile(); !strings.Contains(s.Detail, "one that is loaded") {
		t.Errorf("%+v", s)
	}
}

// TestBeforeIped: what a start cannot know is told before it, and after it that status does.
func TestBeforeIped(t *testing.T) {
	m := newInstallation(t)
	if s := m.road.before(); s.State != abi.Yes {
		t.Errorf("%+v", s)
	}
	m.write("/sys/block/dm-0/dm/name", "root\n")
	if s := m.road.before(); s.State != abi.No || !strings.Contains(s.Detail, "dm-0") || !strings.Contains(s.Detail, "initramfs") || s.Fix == "" {
		t.Errorf("%+v", s)
	}
	m.write("/sys/fs/bpf/ipe/v1-0/link", "")
	if s := m.road.before(); s.State != abi.Yes || !strings.Contains(s.Detail, "ipe status") {
		t.Errorf("%+v", s)
	}
}

// TestBeforeEarlyStart: an early start is not the first, and doctor says so; it knows no hook
// that would change that, and believes none that it finds.
func TestBeforeEarlyStart(t *testing.T) {
	m := newInstallation(t)
	const before = "before udev and what loads modules; the initramfs, generators and the journal run unjudged before it"
	if s := m.road.early(); s.State != abi.Yes || s.Detail != before {
		t.Errorf("%+v", s)
	}
	for _, hook := range []string{"/etc/initramfs-tools/hooks/iped", "/usr/share/initramfs-tools/hooks/ipe", "/usr/lib/dracut/modules.d/90ipe/module-setup.sh"} {
		m := newInstallation(t)
		m.write(hook, "")
		m.write("/etc/initramfs-tools/hooks/pipe", "")
		if s := m.road.early(); !strings.HasPrefix(s.Detail, before+", unless "+strings.TrimSuffix(m.road.at(hook), "/module-setup.sh")+", which is not of ipe") {
			t.Errorf("%s: %+v", hook, s)
		}
	}
}

// TestUntrustedPolicy: what the next start would not take is told.
func TestUntrustedPolicy(t *testing.T) {
	m, other := newInstallation(t), newInstallation(t)
	m.cert, m.key = other.cert, other.key
	m.store("policy_name=other policy_version=1.0.0\nDEFAULT action=DENY\n")
	anchors, _ := m.road.certificates(m.road.trusts())
	if s := m.road.policies(anchors, m.road.trusts()); s.State != abi.No || !strings.Contains(s.Detail, "verify envelope") {
		t.Errorf("%+v", s)
	}
}

// TestDoctorTellsTheRoad: in JSON and in words.
func TestDoctorTellsTheRoad(t *testing.T) {
	steps := []step{lacking("service at boot", "not enabled", "systemctl enable iped")}
	var out bytes.Buffer
	a := &app{Asker: daemon.New(ui.New(&bytes.Buffer{}, &out, &out, func(string) string { return "" }))}
	a.JSON = true
	_ = a.runDoctor(abi.Report{}, api.Choice{}, steps, false) // what it thinks of this kernel is not asked
	var got struct {
		Ahead []step `json:"ahead"`
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || len(got.Ahead) != 1 || got.Ahead[0] != steps[0] {
		t.Errorf("%v, %+v", err, got)
	}
	out.Reset()
	a.JSON = false
	_ = a.runDoctor(abi.Report{}, api.Choice{}, steps, false)
	if !strings.Contains(out.String(), "the road ahead\n  no       service at boot") || !strings.Contains(out.String(), "fix: systemctl enable iped\n") {
		t.Error(out.String())
	}
}
