package control

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/engine"
)

func (d *deployed) digest() string { return "sha256:" + hex.EncodeToString(d.id[:]) }

func (c *Control) infoOf(d *deployed) api.Info {
	active, _ := c.current()
	i := api.Info{Name: d.name, Active: d == active, Boot: d.boot, Kept: c.kept(d), SHA256: hex.EncodeToString(d.id[:]), Signers: d.signers}
	if i.Signers == nil {
		i.Signers = []string{}
	}
	i.Version = d.version
	if d.policy != nil {
		i.Version, i.Rules = d.policy.Version.String(), len(d.policy.Rules)
	}
	if d.err != nil {
		i.Error = d.err.Error()
	}
	return i
}

// List returns all policies, sorted by name.
func (c *Control) List() []api.Info {
	c.follow()
	c.mu.Lock()
	all := maps.Clone(c.policies)
	c.mu.Unlock()
	infos := make([]api.Info, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		infos = append(infos, c.infoOf(all[name]))
	}
	return infos
}

// Get returns the policy of that name with its signed message, which is nil for
// the boot policy, and the text as it was signed. Errors wrap api.ErrNotFound.
func (c *Control) Get(name string) (info api.Info, envelope, text []byte, err error) {
	c.follow()
	d, err := c.lookup(name)
	if err != nil {
		return api.Info{}, nil, nil, err
	}
	return c.get(d)
}

func (c *Control) get(d *deployed) (info api.Info, envelope, text []byte, err error) {
	if d.boot {
		return c.infoOf(d), nil, d.text, nil
	}
	return c.infoOf(d), d.envelope, contentOf(d.envelope), nil
}

// Status reads the engine's state and judges it, after a self-test if the last
// one is older than proofAge. It waits neither for a change that is under way, which
// ends with a self-test of its own, nor for another's self-test; until then nothing
// counts as proven.
func (c *Control) Status() api.Status {
	settled := c.change.TryLock()
	c.follow()
	if settled {
		c.change.Unlock()
		c.prove(0)
		if settled = c.change.TryLock(); settled {
			defer c.change.Unlock()
		}
	}
	st, err := c.eng.State()
	active, mode := c.current()
	s := api.Status{Engine: c.eng.Name(), EngineReason: c.why, Mode: api.Mode(mode), Kernel: stateOnWire(st), Capabilities: capabilitiesOnWire(c.eng.Capabilities()),
		Trust: c.verifier.Trust(), Problems: []string{}}
	s.Anchors = s.Trust.Certificates
	if active != nil {
		i := c.infoOf(active)
		s.Active = &i
	}
	if st.HasPolicy {
		s.KernelSHA256 = hex.EncodeToString(st.ID[:])
	}
	c.mu.Lock()
	s.SelfTest = testOnWire(c.selfTest)
	v := judgement{state: st, err: err, want: active, mode: mode, changing: !settled, test: c.selfTest, testErr: c.testErr}
	for _, key := range slices.Sorted(maps.Keys(c.problems)) {
		s.Problems = append(s.Problems, key+": "+c.problems[key])
	}
	c.mu.Unlock()
	s.Problems = append(s.Problems, st.Problems...)
	n := c.trail.Counts(st.Users)
	s.Recorded, s.Merged, s.OverShare, s.Refusals, s.Users = n.Single, n.Merged, n.Over, n.Refusals, usersOnWire(n.Users)
	s.Missed, s.Unnamed = n.Missed, n.Unnamed
	s.Sinks = c.trail.Statuses()
	s.Problems = append(s.Problems, c.differences()...)
	for _, err := range c.store.Problems() {
		s.Problems = append(s.Problems, problemDisk+": "+strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	s.Summary = v.word()
	s.Enforcing = s.Summary == wordEnforcing
	s.State, s.Reasons = v.explain(s.Summary)
	return s
}

// The words of Summary.
const (
	wordEnforcing  = "enforcing"
	wordPermissive = "permissive"
	wordNoPolicy   = "no policy: everything is allowed"
	wordUnproven   = "active, not proven: "
	wordNot        = "NOT ENFORCING: "
)

// judgement is everything that bears on the word.
type judgement struct {
	state engine.State
	err   error
	want  *deployed
	mode  engine.Mode
	// changing: a change was under way, so state and want may be apart.
	changing bool
	test     *engine.SelfTest
	testErr  error
}

// apart reports whether the kernel does something else than it was asked to.
func (j judgement) apart() bool {
	if j.state.HasPolicy != (j.want != nil) || j.state.Mode.Enforce != j.mode.Enforce {
		return true
	}
	return j.want != nil && j.state.ID != j.want.id
}

// word is the honest word: "enforcing" is said only after everything else has
// been ruled out.
func (j judgement) word() string {
	switch {
	case j.err != nil:
		return wordNot + "the kernel's state cannot be read: " + j.err.Error()
	case j.state.Deaf != "":
		return wordNot + j.state.Deaf
	case j.changing && j.apart():
		return wordUnproven + "a change is under way"
	case !j.state.HasPolicy && j.want == nil && j.state.OtherBuild:
		return wordUnproven + "another build of the engine decides, by a policy that this one cannot read"
	case !j.state.HasPolicy && j.want == nil:
		return wordNoPolicy
	case !j.state.HasPolicy:
		return fmt.Sprintf("%s%s is to be active, the kernel has none", wordNot, policyNamed(j.want.name))
	case j.want == nil:
		return wordUnproven + "the kernel decides by a policy that is not in the store"
	case j.state.ID != j.want.id:
		return fmt.Sprintf("%s%s is to be active, the kernel decides by another", wordNot, policyNamed(j.want.name))
	case len(j.state.Missing) > 0:
		return wordNot + "not attached: " + strings.Join(j.state.Missing, ", ")
	case len(j.state.Hooks) == 0:
		return wordNot + "no hook is attached"
	case !j.state.Mode.Enforce && j.mode.Enforce:
		return wordNot + "enforce is set, the kernel is permissive"
	case !j.state.Mode.Enforce:
		return wordPermissive
	}
	return j.tested()
}

func (j judgement) tested() string {
	switch {
	case j.testErr != nil:
		return wordUnproven + "the self-test could not run: " + j.testErr.Error()
	case j.test == nil:
		return wordUnproven + "the self-test is not done yet"
	case j.test.Failed:
		return wordNot + failedProbe(j.test)
	case !j.test.DenialSeen:
		return wordUnproven + unprovenReason(j.test)
	}
	return wordEnforcing
}

// explain takes a word apart into a state and the reasons for it, which are more than the
// word has where probes of a self-test are.
func (j judgement) explain(word string) (state string, reasons []string) {
	switch reason, _ := strings.CutPrefix(word, wordNot); {
	case word == wordEnforcing:
		return api.StateEnforcing, []string{}
	case word == wordPermissive:
		return api.StatePermissive, []string{"the mode is permissive: denials are only recorded"}
	case word == wordNoPolicy:
		return api.StateNoPolicy, []string{"no policy is active: everything is allowed"}
	case reason != word:
		return api.StateNot, j.probes(reason, failed)
	}
	return api.StateUnproven, j.probes(strings.TrimPrefix(word, wordUnproven), unclear)
}

// probes returns the reason or, if it is that of a probe, those of all such.
func (j judgement) probes(reason string, tell func(engine.Probe) string) []string {
	var all []string
	if j.test != nil {
		for _, p := range j.test.Probes {
			if text := tell(p); text != "" {
				all = append(all, text)
			}
		}
	}
	if slices.Contains(all, reason) {
		return all
	}
	return []string{reason}
}

func unprovenReason(t *engine.SelfTest) string {
	for _, p := range t.Probes {
		if text := unclear(p); text != "" {
			return text
		}
	}
	return "the policy denied nothing that the self-test tried"
}

func failedProbe(t *engine.SelfTest) string {
	for _, p := range t.Probes {
		if text := failed(p); text != "" {
			return text
		}
	}
	return "the self-test failed"
}

// unclear tells of a probe that proves nothing, failed of one that went wrong; both
// return "" for others.
func unclear(p engine.Probe) string {
	if !p.Unclear {
		return ""
	}
	return fmt.Sprintf("self-test %s: %s", p.Name, p.Got)
}

func failed(p engine.Probe) string {
	if p.OK || p.Unclear {
		return ""
	}
	return fmt.Sprintf("self-test %s: the policy demands %s, the kernel answered %s", p.Name, p.Want, p.Got)
}

// What engines say, as it travels. Neither knows the other's form.

func stateOnWire(st engine.State) api.KernelState {
	return api.KernelState{
		HasPolicy: st.HasPolicy, Generation: st.Generation, Mode: api.Mode(st.Mode), Profile: profileOnWire(st.Profile), Swapped: st.Swapped, UnknownTables: st.Unknown, Rules: rulesOnWire(st), Hooks: st.Hooks, Missing: st.Missing, Deaf: st.Deaf,
		OtherBuild: st.OtherBuild, Lost: st.Lost, OverShare: st.OverShare, Silent: st.Silent, SignedRoots: st.SignedRoots, Adopted: st.Adopted,
	}
}

func profileOnWire(p engine.Profile) string {
	return map[bool]string{false: api.ProfileCompat, true: api.ProfileStrict}[p.HonestFacts]
}

func rulesOnWire(st engine.State) (rules []api.StrictRule) {
	for _, n := range st.RuleCounts {
		rules = append(rules, api.StrictRule{Rule: n.Rule.String(), Switch: st.Profile.Rules[n.Rule].String(), Monitored: n.Monitored, Refused: n.Refused})
	}
	return rules
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
