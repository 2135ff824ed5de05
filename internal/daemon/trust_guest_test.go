//go:build guest

package daemon

import (
	"encoding/json"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// trusting is the part of a status that says who may sign.
type trusting struct {
	Trust struct {
		Kind         string `json:"kind"`
		Certificates int    `json:"certificates"`
	} `json:"trust"`
	Active *struct {
		Signers []string `json:"signers"`
	} `json:"active"`
	Problems []string `json:"problems"`
}

// TestTrustOfKernel: who is in the kernel's keyrings may sign, and who is in a
// certificate beside them; the kernel is asked again at each start.
func TestTrustOfKernel(t *testing.T) {
	daemon := iped(t, "--trust", "kernel")
	refused(t, "ENOKEY", "policy", "load", "/stranger.p7b")
	refused(t, "EKEYREJECTED", "policy", "load", "/changed.p7b")
	ipe(t, "policy", "load", "/other-2.0.0.p7b") // by the certificate in /etc/ipe/trust
	ipe(t, "policy", "load", "/platform-1.0.0.p7b")
	ipe(t, "policy", "activate", "platform")
	denied(t, "signed by a key of the kernel")
	stop(t, daemon, unix.SIGKILL)

	again := iped(t, "--trust", "kernel")
	t.Cleanup(func() { stop(t, again, unix.SIGTERM) })
	var s trusting
	if err := json.Unmarshal([]byte(ipe(t, "status", "--json")), &s); err != nil {
		t.Fatal(err)
	}
	if s.Trust.Kind != "kernel" || s.Trust.Certificates != 1 || len(s.Problems) > 0 || s.Active == nil ||
		strings.Join(s.Active.Signers, "") != "a key of the kernel's platform keyring" {
		t.Errorf("status %+v", s)
	}
	text := ipe(t, "status")
	if !strings.Contains(text, "trust      the kernel's keyrings and 1 certificate\n") {
		t.Error(text)
	}
}
