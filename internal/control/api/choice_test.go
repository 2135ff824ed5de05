package api_test

import (
	"crypto/x509"
	"errors"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/internal/control/api"
)

// machine is what a kernel says of itself.
type machine struct {
	ipe, attached, trusts bool
	err                   error
}

func (m machine) HasIPE() bool                                { return m.ipe }
func (m machine) BPFAttached() bool                           { return m.attached }
func (m machine) TrustsAny([]*x509.Certificate) (bool, error) { return m.trusts, m.err }

func TestChoose(t *testing.T) {
	named := api.Wish{Certificates: []*x509.Certificate{{}}}
	for _, tt := range []struct {
		name           string
		machine        machine
		wish           api.Wish
		engine, reason string
	}{
		{"no IPE", machine{}, api.Wish{}, api.EngineBPF, "does not run IPE"},
		{"IPE", machine{ipe: true}, api.Wish{}, api.EngineSecurityfs, "has IPE itself"},
		{"bpf is attached", machine{ipe: true, attached: true}, api.Wish{}, api.EngineBPF, "attached already"},
		{"boot policy", machine{ipe: true}, api.Wish{BootPolicy: true}, api.EngineBPF, "boot policy"},
		{"strict", machine{ipe: true}, api.Wish{Profile: true}, api.EngineBPF, "a profile"},
		{"root hashes", machine{ipe: true}, api.Wish{RootHashes: true}, api.EngineBPF, "signed root hashes"},
		{"trusted", machine{ipe: true, trusts: true}, named, api.EngineSecurityfs, "trusts a given certificate"},
		{"not trusted", machine{ipe: true}, named, api.EngineBPF, "none of the given certificates"},
		{"cannot be told", machine{ipe: true, err: errors.New("no keys")}, named, api.EngineBPF, "cannot be told: no keys"},
	} {
		if got := api.Choose(tt.machine, tt.wish); got.Engine != tt.engine || !strings.Contains(got.Reason, tt.reason) {
			t.Errorf("%s: chose %+v, want %s because %q", tt.name, got, tt.engine, tt.reason)
		}
	}
}
