//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/policy"
)

// nft is the program that everything is about, in the service's root directory.
const nft = "/usr/sbin/nft"

// library is one that nft needs; a copy of it plays the malicious one.
const library = "/usr/lib/x86_64-linux-gnu/libmnl.so.0"

const loader = "/lib64/ld-linux-x86-64.so.2"

// plant copies the attacker's files to where everybody may write.
func plant() error {
	for from, to := range map[string]string{nft: "/evil", library: "/evil.so"} {
		data, err := os.ReadFile(service + from)
		if err != nil {
			return fmt.Errorf("plant %s: %w", to, err)
		}
		if err := os.WriteFile(temporary+to, data, 0o755); err != nil {
			return fmt.Errorf("plant %s: %w", to, err)
		}
	}
	return nil
}

// loadRules is the appliance's own work.
func loadRules() test {
	return test{
		tried: "nft of the volume loads the ruleset",
		args:  []string{"exec", service, nft, "-f", "/etc/nftables.conf"}, subject: service + nft, name: "nft",
		demand: policy.Allow, want: ok, confirm: confirmRules,
	}
}

// confirmRules has nft list what the kernel filters by now.
func confirmRules(ctx context.Context, _ answer) (string, error) {
	list, err := attempt(ctx, nil, "exec", service, nft, "list", "ruleset")
	if err != nil {
		return "", err
	}
	chains := strings.Count(list.stdout, "\tchain ")
	if list.String() != ok || !strings.Contains(list.stdout, "hook forward priority filter; policy drop") {
		return "", fmt.Errorf("nft list ruleset: %s %s: the ruleset is not in force", list, list.stderr)
	}
	return fmt.Sprintf(", %d chains", chains), nil
}

func siteScript() test {
	return test{
		tried: "the site's script adds to it",
		args:  []string{"exec", service, "/srv/site.nft"}, subject: site + "/site.nft", name: "site.nft",
		demand: policy.Allow, want: ok,
	}
}

// copied is the attack that is tried again and again.
func copied(when string) test {
	return test{
		tried: "a copy of nft on tmpfs" + when,
		args:  []string{"exec", service, "/tmp/evil", "--version"}, subject: temporary + "/evil", name: "evil",
		demand: policy.Deny, want: "EACCES",
	}
}

// otherFiles are programs that are not what the policy names.
func otherFiles() []test {
	return []test{
		copied(""),
		{
			tried: "nft of the volume, one bit flipped",
			args:  []string{"exec", damaged, nft, "--version"}, subject: damaged + nft, name: "nft",
			demand: policy.Allow, want: "EIO", silent: true,
		},
		{
			tried: "nft of a re-made volume",
			args:  []string{"exec", remade, nft, "--version"}, subject: remade + nft, name: "nft",
			demand: policy.Deny, want: "EACCES",
		},
		{
			tried: "the site's script, changed",
			args:  []string{"exec", service, "/srv/changed.nft"}, subject: site + "/changed.nft", name: "changed.nft",
			demand: policy.Deny, want: "EACCES",
		},
		{
			tried: "a copy of nft in a memfd", args: []string{"memfd", service, nft, "--version"}, name: "memfd:nft",
			demand: policy.Deny, want: "EACCES",
		},
	}
}

// mappings are ways to get code into a process without executing a file.
func mappings() []test {
	return []test{
		{
			tried: "ld.so of the volume runs a copy: ./evil",
			args:  []string{"exec", service, loader, "/tmp/evil", "--version"}, subject: temporary + "/evil",
			hook: eval.HookMmap, name: "evil", demand: policy.Deny, want: refusedMapping,
		},
		{
			tried: "LD_PRELOAD=evil.so into nft", env: []string{"LD_PRELOAD=/tmp/evil.so"},
			args: []string{"exec", service, nft, "-f", "-"}, subject: temporary + "/evil.so",
			hook: eval.HookMmap, name: "evil.so", demand: policy.Deny, want: noCode, library: "/tmp/evil.so",
		},
		{
			tried: "anonymous executable memory (mmap)", args: []string{"anon"},
			hook: eval.HookMmap, demand: policy.Deny, want: "EACCES",
		},
		{
			tried: "writable, then executable (mprotect)", args: []string{"wx"},
			hook: eval.HookMprotect, demand: policy.Deny, want: "EACCES",
		},
	}
}

// attacks is all that the policy has to stop, as it is while there is none: each
// works. That makes the denials later mean something.
func attacks() []test {
	var all []test
	for _, t := range append(otherFiles(), mappings()...) {
		if t.silent {
			continue
		}
		t.want = ok
		if t.library != "" {
			t.want = code
		}
		all = append(all, t)
	}
	return all
}
