package control_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/sign"
)

// notary vouches for every message, under a name of its own.
type notary struct{}

func (notary) Verify(message []byte) (control.Verified, error) {
	e, err := sign.Inspect(message)
	return control.Verified{Envelope: e, By: []string{"the notary"}}, err
}

func (notary) Trust() api.Trust { return api.Trust{Kind: "notary"} }

// TestVerifierDecides: whom the verifier trusts may sign, and is named.
func TestVerifierDecides(t *testing.T) {
	for _, tt := range []struct {
		name     string
		verifier func(*machine) control.Verifier
		trust    api.Trust
		by       string
	}{
		{"certificates", func(m *machine) control.Verifier { return control.Certificates(m.signer.Keyring()) },
			api.Trust{Kind: "certificates", Certificates: 1}, "CN=signer"},
		{"another", func(*machine) control.Verifier { return notary{} }, api.Trust{Kind: "notary"}, "the notary"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			m.started()
			c := newRunning(control.Config{Store: m.store, Verifier: tt.verifier(m), Engine: m.engine})
			i, err := c.Load(m.signed("site", "1.0.0"))
			if err != nil || !slices.Equal(i.Signers, []string{tt.by}) {
				t.Errorf("loaded %+v, %v; want it signed by %s", i, err, tt.by)
			}
			st := c.Status()
			if diff := cmp.Diff(tt.trust, st.Trust); diff != "" || st.Anchors != tt.trust.Certificates {
				t.Errorf("status: %d anchors, trust (-want +got):\n%s", st.Anchors, diff)
			}
		})
	}
}
