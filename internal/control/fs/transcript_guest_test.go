//go:build guest

package fs_test

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/internal/control/fs"
	"github.com/ipe-linux/ipe/sign"
)

// kernelTree is the tree of the kernel's own IPE.
const kernelTree = "/sys/kernel/security/ipe"

// onTrees are tests that demand the same of a kernel's tree and of ours. Each finds on
// the kernel's what the ones before have left.
var onTrees = []struct {
	name string
	test func(t *testing.T, dir string)
}{
	{"transcript", func(t *testing.T, dir string) { wantTranscript(t, "transcript", dir) }},
	// A script that uses cat, echo and openssl alone. /messages has what openssl made.
	{"accept", func(t *testing.T, dir string) { wantTranscript(t, "accept", dir) }},
	{"calls", testCalls},
	{"races", testRaces},
	{"loader", testLoader},
}

// TestTreeOfKernel is the proof that the other demands what the kernel does.
func TestTreeOfKernel(t *testing.T) {
	for _, o := range onTrees {
		t.Run(o.name, func(t *testing.T) { o.test(t, kernelTree) })
	}
}

// TestTreeOfOurs: what is done on the kernel's tree gives the same on ours.
func TestTreeOfOurs(t *testing.T) {
	for _, o := range onTrees {
		t.Run(o.name, func(t *testing.T) { o.test(t, ourTree(t)) })
	}
}

// ourTree mounts a tree without any policy, that trusts whom the kernel trusts.
func ourTree(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/keys/owner.pem")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	const dir = "/run/ipe"
	s, err := fs.Mount(dir, newControl(t, sign.NewKeyring(cert), ""), nil)
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// wantTranscript runs a script on a tree.
func wantTranscript(t *testing.T, name, tree string) {
	t.Helper()
	script, err := os.Open("testdata/" + name + ".sh")
	if err != nil {
		t.Fatal(err)
	}
	defer script.Close()
	want, err := os.ReadFile("testdata/" + name + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-s", tree, "/messages")
	cmd.Env = append(os.Environ(), "OPENSSL_CONF=/dev/null")
	cmd.Stdin = script
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v", tree, err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(out), "\n")); diff != "" {
		t.Errorf("transcript of %s (-want +got):\n%s", tree, diff)
	}
}
