//go:build guest

package bpf_test

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/policy"
	"github.com/ipe-linux/ipe/sign"
)

const kernelIPE = "/sys/kernel/security/ipe/"

// peer is the kernel's own IPE.
type peer struct {
	cert *x509.Certificate
	key  crypto.Signer
	last string
}

func newPeer(t *testing.T) *peer {
	t.Helper()
	read := func(name string) []byte {
		data, err := os.ReadFile("/images/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	certs, err := sign.ParseCertificates(read("platform.pem"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := sign.ParseKey(read("platform.key"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return &peer{cert: certs[0], key: key}
}

// decideBy makes the kernel decide by the policy of that name and text, and forgets
// the one before.
func (p *peer) decideBy(t *testing.T, name, text string) {
	t.Helper()
	signed, err := sign.Content([]byte(text), p.cert, p.key, sign.Options{})
	if err != nil {
		t.Fatal(err)
	}
	write := func(node, data string) {
		if err := os.WriteFile(kernelIPE+node, []byte(data), 0); err != nil {
			t.Fatalf("%s: %v\n%s", node, err, text)
		}
	}
	write("new_policy", string(signed))
	write("policies/"+name+"/active", "1")
	if p.last != "" {
		write("policies/"+p.last+"/delete", "1")
	}
	p.last = name
}

// walk makes random policies from the facts that the subjects have, and some that
// none has.
type walk struct {
	*rand.Rand
	properties []string
}

func newWalk(t *testing.T, seed uint64) walk {
	t.Helper()
	root, other := rootHash(t, "ROOT_HASH").String(), rootHash(t, "OTHER_HASH").String()
	sealed, signed := measure(t, "/files/sealed").String(), measure(t, "/files/signed").String()
	w := walk{Rand: rand.New(rand.NewPCG(seed, 0))}
	for _, key := range []string{"boot_verified", "dmverity_signature", "fsverity_signature"} {
		w.properties = append(w.properties, key+"=TRUE", key+"=FALSE")
	}
	for _, d := range []string{root, other, strings.ToUpper(root[:7]) + root[7:], root[:len(root)-2], "sha256:00", "sha256:"} {
		w.properties = append(w.properties, "dmverity_roothash="+d)
	}
	for _, d := range []string{sealed, signed, "sha512" + sealed[6:], root} {
		w.properties = append(w.properties, "fsverity_digest="+d)
	}
	return w
}

func (w walk) action() string {
	return [...]string{"action=ALLOW", "action=DENY"}[w.IntN(2)]
}

// policy is a random policy; its first rule keeps this test alive.
func (w walk) policy(name string) string {
	lines := []string{"policy_name=" + name + " policy_version=0.0.1", "op=EXECUTE boot_verified=TRUE action=ALLOW", "DEFAULT " + w.action()}
	if w.IntN(2) == 0 {
		lines = append(lines, "DEFAULT op=EXECUTE "+w.action())
	}
	for range w.IntN(6) {
		op := "op=EXECUTE "
		if w.IntN(8) == 0 {
			op = "op=KMODULE "
		}
		rule := op
		for range w.IntN(4) {
			rule += w.properties[w.IntN(len(w.properties))] + " "
		}
		lines = append(lines, rule+w.action())
	}
	return strings.Join(lines, "\n") + "\n"
}

// verdicts tries everything with everything.
func verdicts(t *testing.T, list []subject) []string {
	t.Helper()
	var all []string
	for _, s := range list {
		for _, a := range s.actions {
			verdict := "allowed"
			if err := a.try(); errors.Is(err, unix.EACCES) {
				verdict = "EACCES"
			} else if err != nil {
				t.Fatalf("%s, %s: %v", s.name, a.name, err)
			}
			all = append(all, s.name+", "+a.name+": "+verdict)
		}
	}
	return all
}

// TestPeerAgrees puts random policies to the kernel's own IPE and to ours, on one
// kernel and the same files, one after the other: every verdict is the same, and is
// what eval says.
func TestPeerAgrees(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("PEER_POLICIES"))
	if err != nil {
		t.Fatal(err)
	}
	seed, err := strconv.ParseUint(os.Getenv("PEER_SEED"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	e := open(t)
	list := subjects(t, e)
	kernel, w := newPeer(t), newWalk(t, seed)
	compared, denied, differences := 0, 0, 0
	for i := range n {
		text := w.policy(fmt.Sprintf("walk%d", i))
		kernel.decideBy(t, fmt.Sprintf("walk%d", i), text)
		theirs := verdicts(t, list)
		kernel.decideBy(t, fmt.Sprintf("open%d", i), fmt.Sprintf("policy_name=open%d policy_version=0.0.1\nDEFAULT action=ALLOW\n", i))
		p, err := policy.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(e.Activate(engine.Active{Policy: p}), e.SetMode(enforcing)); err != nil {
			t.Fatal(err)
		}
		ours := verdicts(t, list)
		if err := e.SetMode(engine.Mode{}); err != nil {
			t.Fatal(err)
		}
		want := expected(p, list)
		for j := range theirs {
			compared++
			if strings.HasSuffix(theirs[j], "EACCES") {
				denied++
			}
			if theirs[j] != ours[j] || theirs[j] != want[j] {
				differences++
				t.Errorf("kernel: %s\nours: %s\neval: %s\n%s", theirs[j], ours[j], want[j], text)
			}
		}
	}
	t.Logf("%d differences; %d policies, %d decisions compared three ways, %d of them denials; seed %d", differences, n, compared, denied, seed)
}

// expected is what eval says of the facts that the subjects really have.
func expected(p *policy.Policy, list []subject) []string {
	var all []string
	for _, s := range list {
		for _, a := range s.actions {
			facts := s.facts
			if a.facts != nil {
				facts = *a.facts
			}
			verdict := "allowed"
			if eval.Decide(p, eval.Event{Op: policy.OpExecute, Hook: a.hook, Evidence: facts}).Action == policy.Deny {
				verdict = "EACCES"
			}
			all = append(all, s.name+", "+a.name+": "+verdict)
		}
	}
	return all
}
