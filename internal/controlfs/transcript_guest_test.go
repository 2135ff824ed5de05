//go:build guest

package controlfs_test

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/internal/controlfs"
	"github.com/ipe-linux/ipe/sign"
)

// TestTranscriptOfKernel is the proof of testdata/transcript.txt.
func TestTranscriptOfKernel(t *testing.T) { wantTranscript(t, "/sys/kernel/security/ipe") }

func TestTranscriptOfOurs(t *testing.T) {
	text, err := os.ReadFile("/blobs/cert.pem")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	s, err := controlfs.Mount("/run/ipe", newControl(t, sign.NewKeyring(cert), ""), nil)
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve()
	wantTranscript(t, "/run/ipe")
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// wantTranscript runs the script on a tree.
func wantTranscript(t *testing.T, tree string) {
	t.Helper()
	script, err := os.Open("testdata/transcript.sh")
	if err != nil {
		t.Fatal(err)
	}
	defer script.Close()
	want, err := os.ReadFile("testdata/transcript.txt")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-s", tree)
	cmd.Stdin = script
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v", tree, err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(out), "\n")); diff != "" {
		t.Errorf("transcript of %s (-want +got):\n%s", tree, diff)
	}
}
