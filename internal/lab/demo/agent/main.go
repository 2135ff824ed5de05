//go:build linux

// Command agent is the demonstration's part in the guest. It opens the appliance's
// volumes, runs iped and ipe as their users do, tries what the policy is about, and
// writes what came of it to standard output as package row says.
//
// Each attempt is made by a process of its own, this program again with the
// argument "attempt", so that records of decisions are found by its process id. What
// the policy demands is decided by package eval, on evidence gathered with other
// means than the engine's: fsverity, veritysetup and the list of mounts.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/rpc/client"
	"github.com/ipe-linux/ipe/internal/lab/demo/row"
	"github.com/ipe-linux/ipe/policy"
)

func main() {
	if len(os.Args) > 1 {
		os.Exit(child(os.Args[1], os.Args[2:]))
	}
	if err := work(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "agent: error:", err)
		os.Exit(1)
	}
}

// agent is the state of one boot.
type agent struct {
	setup  row.Setup
	out    *json.Encoder
	client *client.Client
	// policy decides what is demanded; nil while none is active.
	policy  *policy.Policy
	section string
	iped    *daemon
	// profile is what iped is to ask.
	profile string
}

// work is one boot. An error is the demonstration's own; what goes against the
// policy is a row.
func work(ctx context.Context) error {
	a := &agent{out: json.NewEncoder(os.Stdout), client: client.New(api.DefaultSocket), profile: api.ProfileStrict}
	a.out.SetEscapeHTML(false)
	text, err := os.ReadFile(row.SetupPath)
	if err != nil {
		return fmt.Errorf("read setup: %w", err)
	}
	if err := json.Unmarshal(text, &a.setup); err != nil {
		return fmt.Errorf("read setup: %w", err)
	}
	if err := a.mountAll(ctx); err != nil {
		return err
	}
	boot := a.firstBoot
	if a.setup.Boot == 2 {
		boot = a.secondBoot
	}
	if err := boot(ctx); err != nil {
		return err
	}
	return a.out.Encode(row.Line{Done: true})
}

// report sends one row.
func (a *agent) report(r row.Row) error {
	r.Section = a.section
	return a.out.Encode(row.Line{Row: &r})
}

// use makes the policy of that file the one that demands, as it is signed.
func (a *agent) use(name string) error {
	text, err := os.ReadFile(row.PolicyDir + "/" + name + ".pol")
	if err != nil {
		return fmt.Errorf("read policy: %w", err)
	}
	a.policy, err = policy.Parse(text)
	return err
}
