//go:build linux

package scenarios

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/lab/scenarios/records"
)

// walker makes random policies from the facts that the subjects have, and some that
// none has.
type walker struct {
	*rand.Rand
	properties []string
	ops        []string
}

// booleans are the first of a walker's properties.
const booleans = 6

// newWalker measures files, which takes programs that policies may deny.
func (s *Session) newWalker() (walker, error) {
	var w walker
	// As they are among what the kernel is asked to do.
	w.ops = strings.Fields("EXECUTE EXECUTE EXECUTE EXECUTE EXECUTE KMODULE KEXEC_IMAGE POLICY FIRMWARE")
	for _, key := range []string{"boot_verified", "dmverity_signature", "fsverity_signature"} {
		w.properties = append(w.properties, key+"=TRUE", key+"=FALSE")
	}
	root := s.cfg.Roots["volume"]
	for _, d := range []string{
		"sha256:" + root, "sha256:" + s.cfg.Roots["other"], "sha256:" + s.cfg.Roots["both"],
		"sha256:" + strings.ToUpper(root), "SHA256:" + root, "sha256:" + root[:len(root)-2], "sha256:00", "sha256:",
	} {
		w.properties = append(w.properties, "dmverity_roothash="+d)
	}
	s.digests = map[string]string{}
	for _, name := range []string{"sealed", "resealed", "signed"} {
		d, err := measure("/files/" + name)
		if err != nil {
			return w, err
		}
		s.digests[name] = d
		w.properties = append(w.properties, "fsverity_digest="+d)
	}
	w.properties = append(w.properties, "fsverity_digest=sha512:"+root, "fsverity_digest=sha256:"+root)
	return w, nil
}

func measure(path string) (string, error) {
	out, err := tool("fsverity", "measure", path)
	if err != nil {
		return "", err
	}
	digest, _, _ := strings.Cut(out, " ")
	return digest, nil
}

func (w walker) action() string {
	return [...]string{"action=ALLOW", "action=DENY"}[w.IntN(2)]
}

// statements are those of a random policy.
func (w walker) statements() []string {
	lines := []string{"DEFAULT " + w.action()}
	for _, op := range []string{"EXECUTE", "KMODULE", "POLICY"} {
		if w.IntN(3) == 0 {
			lines = append(lines, "DEFAULT op="+op+" "+w.action())
		}
	}
	for range w.IntN(7) {
		rule := "op=" + w.ops[w.IntN(len(w.ops))] + " "
		for range counts[w.IntN(len(counts))] {
			rule += w.property() + " "
		}
		lines = append(lines, rule+w.action())
	}
	return lines
}

// counts is how many properties a rule has: of several, seldom all hold.
var counts = [...]int{0, 1, 1, 1, 1, 1, 2, 2, 2, 3}

// property is one that the facts decide, half of the time.
func (w walker) property() string {
	if w.IntN(2) == 0 {
		return w.properties[w.IntN(booleans)]
	}
	return w.properties[w.IntN(len(w.properties))]
}

// walk has random policies decide about everything.
func (s *Session) walk(w walker) error {
	progress := time.Now()
	for i := s.cfg.First; i < s.cfg.First+s.cfg.Policies; i++ {
		s.scenario = fmt.Sprintf("walk %d", i)
		// Each policy has a sequence of its own, so that one can be tried alone.
		w.Rand = rand.New(rand.NewPCG(s.cfg.Seed, uint64(i)))
		if err := s.step(w); err != nil {
			return fmt.Errorf("%s: %w", s.scenario, err)
		}
		if time.Since(progress) > 30*time.Second {
			progress = time.Now()
			fmt.Printf("walk: at policy %d, until %d\n", i, s.cfg.First+s.cfg.Policies)
		}
	}
	return nil
}

// step is one policy of the walk.
func (s *Session) step(w walker) error {
	statements := w.statements()
	enforce, successAudit := w.IntN(4) != 0, w.IntN(3) == 0
	// It stands in the transcript, for those who look at a difference.
	text := fmt.Sprintf("enforce=%s success_audit=%s; %s", digit(enforce), digit(successAudit), strings.Join(statements, "; "))
	if err := s.out.Write(s.scenario, "policy", s.masks.Plain(text)); err != nil {
		return err
	}
	if err := s.mode(enforce, successAudit); err != nil {
		return err
	}
	if err := s.decideBy(statements...); err != nil {
		return err
	}
	if _, err := s.settle(); err != nil { // records of the switch are a scenario's
		return err
	}
	return s.everything("", w.choose(len(fileActs())))
}

// everything tries the chosen acts on each subject, and writes a line for each of them
// whose second field begins with the prefix.
func (s *Session) everything(prefix string, chosen []bool) error {
	t := tried{records: map[string][]string{}}
	for _, sub := range s.subjects {
		if err := t.all(sub, chosen); err != nil {
			return err
		}
	}
	return s.compile(prefix, &t)
}

// all chooses all of n acts.
func all(n int) []bool {
	chosen := make([]bool, n)
	for i := range chosen {
		chosen[i] = true
	}
	return chosen
}

// tried is what a policy decided.
type tried struct {
	whats, results []string
	records        map[string][]string
}

// choose says which of n acts are tried on all files: those that are common, and some.
func (w walker) choose(n int) []bool {
	chosen := make([]bool, n)
	for i := range chosen {
		chosen[i] = i < common || w.IntN(4) == 0
	}
	return chosen
}

// all tries all acts on memory; on a file, those that are chosen.
func (t *tried) all(sub *subject, chosen []bool) error {
	for i, a := range sub.acts {
		if sub.path != "" && !chosen[i] {
			continue
		}
		if err := rename(label(len(t.whats))); err != nil {
			return err
		}
		err := a.try(sub)
		t.whats = append(t.whats, sub.name+", "+a.name)
		t.results = append(t.results, result(err))
	}
	return rename("probe")
}

// label is the name of the thread that makes the decision of that number.
func label(i int) string { return fmt.Sprintf("decision%d", i) }

// unlabelled is a record without the label, which says nothing more than its place.
func unlabelled(r audit.Record) audit.Record {
	a, ok := r.(audit.Access)
	if ok && strings.HasPrefix(a.Comm, "decision") {
		a.Comm = "decision"
		return a
	}
	return r
}

// compile writes the lines of a step, each with its records.
func (s *Session) compile(prefix string, t *tried) error {
	there, err := s.settle()
	if err != nil {
		return err
	}
	for _, r := range there {
		t.records[records.Comm(r)] = append(t.records[records.Comm(r)], s.masks.Text(unlabelled(r)))
	}
	for i, what := range t.whats {
		if err := s.out.Write(s.scenario, prefix+what, t.results[i], t.records[label(i)]...); err != nil {
			return err
		}
		delete(t.records, label(i))
	}
	for _, left := range t.records {
		if err := s.out.Write(s.scenario, prefix+"unexpected", "records", left...); err != nil {
			return err
		}
	}
	return nil
}

// policyName is the policy whose versions decide, one after the other.
const policyName = "enginetest"

// mode sets how decisions take effect.
func (s *Session) mode(enforce, successAudit bool) error {
	if err := s.set("enforce", enforce); err != nil {
		return err
	}
	return s.set("success_audit", successAudit)
}

func (s *Session) set(node string, on bool) error {
	if err := s.write(node, []byte(digit(on))); err != nil {
		return fmt.Errorf("set %s: %w", node, err)
	}
	return nil
}

func digit(on bool) string {
	if on {
		return "1"
	}
	return "0"
}

// decideBy makes statements decide, as a new version of the policy. The first of its
// rules denies the marker.
func (s *Session) decideBy(statements ...string) error {
	s.revision++
	text := fmt.Sprintf("policy_name=%s policy_version=9.%d.%d\n%s\n%s\n", policyName, s.revision>>16, s.revision&0xffff,
		s.markerRule(), strings.Join(statements, "\n"))
	message, err := s.sign(text)
	if err != nil {
		return err
	}
	err = s.write("policies/"+policyName+"/update", message)
	if errors.Is(err, unix.ENOENT) {
		if err := s.write("new_policy", message); err != nil {
			return fmt.Errorf("load policy: %w: %s", err, text)
		}
		err = s.write("policies/"+policyName+"/active", []byte("1"))
	}
	if err != nil {
		return fmt.Errorf("activate policy: %w: %s", err, text)
	}
	s.active = true
	return nil
}

func (s *Session) markerRule() string {
	return "op=EXECUTE dmverity_roothash=sha256:" + s.cfg.Roots["marker"] + " action=DENY"
}

// sign signs a policy and remembers the message by its first line.
func (s *Session) sign(text string) ([]byte, error) {
	message, err := s.signer.sign(text)
	if err != nil {
		return nil, err
	}
	head, _, _ := strings.Cut(text, "\n")
	s.masks.Messages[sha256.Sum256(message)] = strings.NewReplacer("policy_name=", "", " policy_version=", "-").Replace(head)
	return message, nil
}
