//go:build linux

package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/lab/demo/row"
	"github.com/ipe-linux/ipe/policy"
)

// firstBoot deploys the policy, tries it, and kills the daemon.
func (a *agent) firstBoot(ctx context.Context) error {
	for _, script := range []string{"site.nft", "changed.nft"} {
		if _, err := tool(ctx, "fsverity", "enable", state+"/site/"+script); err != nil {
			return err
		}
	}
	if err := plant(); err != nil {
		return err
	}
	a.section = "before there is a policy, all of this works"
	if err := a.check(ctx, attacks()...); err != nil {
		return err
	}
	if err := a.deploy(ctx); err != nil {
		return err
	}
	a.section = "what the policy allows"
	if err := a.check(ctx, loadRules(), siteScript()); err != nil {
		return err
	}
	a.section = "what nobody vouches for"
	if err := a.check(ctx, append(otherFiles(), mappings()...)...); err != nil {
		return err
	}
	a.section = "a newer policy (iped answers)"
	if err := a.change(ctx, change{"update firewall to 1.1.0", "", []string{"update", file(row.Second)}}); err != nil {
		return err
	}
	if err := a.use(row.Second); err != nil {
		return err
	}
	return a.killDaemon(ctx)
}

// deploy starts iped, offers it policies that it must refuse, and then a good one.
func (a *agent) deploy(ctx context.Context) error {
	a.section = "deploying policies (iped answers)"
	if _, err := a.startDaemon(ctx); err != nil {
		return err
	}
	for _, c := range []change{
		{"load a policy changed after signing", "EKEYREJECTED", []string{"load", file(row.Tampered)}},
		{"load a policy signed by a stranger", "ENOKEY", []string{"load", file(row.Stranger)}},
		{"load a policy without signature", "EBADMSG", []string{"load", row.PolicyDir + "/" + row.First + ".pol"}},
		{"load installer 0.2.0", "", []string{"load", file(row.NewInstaller)}},
		{"activate installer", "", []string{"activate", row.InstallerName}},
		{"load firewall 1.0.0", "", []string{"load", file(row.First)}},
		{"activate firewall", "", []string{"activate", row.FirewallName}},
		{"delete installer", "", []string{"delete", row.InstallerName}},
	} {
		if err := a.change(ctx, c); err != nil {
			return err
		}
	}
	// Allowed runs are to be recorded, too: the rows name the rule of each.
	if _, _, _, err := ipe(ctx, "mode", "--success-audit", "on"); err != nil {
		return err
	}
	if err := a.use(row.First); err != nil {
		return err
	}
	return a.show(ctx, "status")
}

// killDaemon kills iped, tries what it does not need to be there for, and starts
// it again, under the eyes of a process that is denied something all the time.
func (a *agent) killDaemon(ctx context.Context) error {
	a.section = "SIGKILL of iped"
	before, err := a.client.Status(ctx)
	if err != nil {
		return err
	}
	watch, err := begin(ctx, nil, "hammer")
	if err != nil {
		return err
	}
	if err := a.iped.kill(); err != nil {
		return err
	}
	var made []*outcome
	for _, t := range []test{copied(", iped dead"), loadRules()} {
		o, err := a.try(ctx, t)
		if err != nil {
			return err
		}
		made = append(made, o)
	}
	after, err := a.startDaemon(ctx)
	if err != nil {
		return err
	}
	for _, o := range made {
		if err := a.settle(ctx, o); err != nil {
			return err
		}
	}
	if err := a.report(adopted(before, after)); err != nil {
		return err
	}
	return a.reportWatch(ctx, watch)
}

// adopted compares what iped said before it was killed and after.
func adopted(before, after api.Status) row.Row {
	r := row.Row{Tried: "iped starts again", Policy: "keep", Answered: "taken over"}
	r.Rule = fmt.Sprintf("%s, policy generation %d", after.Summary, after.Kernel.Generation)
	switch {
	case !after.Kernel.Adopted || after.Kernel.Generation != before.Kernel.Generation:
		r.Answered = "begun anew"
		r.Why = fmt.Sprintf("it has to take over generation %d", before.Kernel.Generation)
	case !after.Enforcing:
		r.Why = "it has to be enforcing"
	}
	r.OK = r.Why == ""
	return r
}

func (a *agent) reportWatch(ctx context.Context, watch *running) error {
	got, err := watch.end()
	if err != nil {
		return err
	}
	rec, _, err := a.record(ctx, got.pid, eval.HookMmap, "")
	if err != nil {
		return err
	}
	count := strings.TrimSpace(got.stdout)
	denied, tried, _ := strings.Cut(count, "/")
	r := row.Row{
		Tried: "executable memory, all that time", Policy: policy.Deny.String(),
		Answered: "EACCES " + count, Rule: rec.Rule(), OK: denied != "" && denied == tried,
	}
	if !r.OK {
		r.Why = "it has to be denied each time"
	}
	return a.report(r)
}

// secondBoot starts iped on the disk that the first boot left, and nothing else.
func (a *agent) secondBoot(ctx context.Context) error {
	if err := plant(); err != nil {
		return err
	}
	own, err := a.own(ctx)
	if err != nil {
		return err
	}
	a.section = "after a reboot"
	st, err := a.startDaemon(ctx)
	if err != nil {
		return err
	}
	if err := a.report(restored(st)); err != nil {
		return err
	}
	if err := a.use(row.Second); err != nil {
		return err
	}
	if err := a.check(ctx, copied(""), loadRules(), siteScript()); err != nil {
		return err
	}
	a.section = "going back to older policies (iped answers)"
	for _, c := range []change{
		{"update firewall to 1.0.0", "ESTALE", []string{"update", file(row.First)}},
		{"load installer 0.1.0; 0.2.0 was deleted", "ESTALE", []string{"load", file(row.OldInstaller)}},
	} {
		if err := a.change(ctx, c); err != nil {
			return err
		}
	}
	return a.compareProfiles(ctx, own)
}

// restored looks at what iped did by itself.
func restored(st api.Status) row.Row {
	r := row.Row{Tried: "iped starts; nobody deploys anything", Policy: "keep", Answered: st.Summary}
	if st.Active != nil {
		r.Rule = st.Active.Name + " " + st.Active.Version
	}
	if r.OK = st.Enforcing && r.Rule == row.FirewallName+" 1.1.0"; !r.OK {
		r.Why = row.FirewallName + " 1.1.0 has to be enforced"
	}
	return r
}

// change is a request to iped, made with the ipe command.
type change struct {
	tried string
	// errno has to be the answer; empty for success.
	errno string
	args  []string
}

func file(name string) string { return row.PolicyDir + "/" + name + ".p7b" }

func (a *agent) change(ctx context.Context, c change) error {
	_, reason, errno, err := ipe(ctx, append([]string{"policy"}, c.args...)...)
	if err != nil {
		return err
	}
	r := row.Row{Tried: c.tried, Policy: "accept", Answered: errno, Rule: reason, OK: errno == c.errno}
	if c.errno != "" {
		r.Policy = "refuse"
	}
	if errno == "" {
		r.Answered = ok
	}
	if !r.OK {
		r.Why = "the answer has to be " + cmp.Or(c.errno, ok)
	}
	return a.report(r)
}
