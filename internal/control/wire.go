package control

import (
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/engine"
)

// What engines say, as it travels. Neither knows the other's form.

func stateOnWire(st engine.State) api.KernelState {
	return api.KernelState{
		HasPolicy: st.HasPolicy, Generation: st.Generation, Mode: api.Mode(st.Mode), Hooks: st.Hooks, Missing: st.Missing, Deaf: st.Deaf,
		OtherBuild: st.OtherBuild, Lost: st.Lost, OverShare: st.OverShare, Silent: st.Silent, SignedRoots: st.SignedRoots, Adopted: st.Adopted,
	}
}

func testOnWire(t *engine.SelfTest) *api.SelfTest {
	if t == nil {
		return nil
	}
	return &api.SelfTest{
		Time: t.Time, DenialSeen: t.DenialSeen, Failed: t.Failed,
		Probes: onWire(t.Probes, func(p engine.Probe) api.Probe { return api.Probe(p) }),
	}
}

func capabilitiesOnWire(all []engine.Capability) []api.Capability {
	return onWire(all, func(c engine.Capability) api.Capability { return api.Capability(c) })
}

func usersOnWire(all []engine.UserCount) []api.UserCount {
	return onWire(all, func(u engine.UserCount) api.UserCount { return api.UserCount(u) })
}

// onWire is all in another form. JSON tells none from nothing, so both stay what they are.
func onWire[E, W any](all []E, form func(E) W) []W {
	if all == nil {
		return nil
	}
	w := make([]W, len(all))
	for i, e := range all {
		w[i] = form(e)
	}
	return w
}
