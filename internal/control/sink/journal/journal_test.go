package journal

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	sd "github.com/coreos/go-systemd/v22/journal"
	"github.com/google/go-cmp/cmp"
)

// taken is an entry as the library gets it.
type taken struct {
	message  string
	priority sd.Priority
	vars     map[string]string
}

func taking(to *[]taken) *Handler {
	return &Handler{to: newSender(func(m string, p sd.Priority, vars map[string]string) error {
		*to = append(*to, taken{m, p, vars})
		return nil
	})}
}

// TestEntry: priority, fields and kind of an entry; what others chose stays within its field
// and is quoted in the message.
func TestEntry(t *testing.T) {
	var got []taken
	log := slog.New(taking(&got))
	log.Warn("decision", "action", "DENY", "ipe_op", "EXECUTE", "path", "/a b\nIPE_ACTION=ALLOW", "pid", 7, "policy_name", "site",
		"rule", "DEFAULT action=DENY", Denied.Attr())
	log.Log(t.Context(), LevelNotice, "policy activated", "new_active_pol_name", "b", "old_active_pol_name", "a", Kind("policy-activated").Attr())
	log.Error("problem", "error", errors.New("no"), Kind("problem").Attr())
	log.WithGroup("g").With("x-y", 1).Info("ready")
	log.Debug("nobody wants to know")
	want := []taken{
		{`decision action=DENY ipe_op=EXECUTE path="/a b\nIPE_ACTION=ALLOW" pid=7 policy_name=site rule="DEFAULT action=DENY"`, sd.PriWarning, map[string]string{
			"IPE_ACTION": "DENY", "IPE_OP": "EXECUTE", "IPE_PATH": "/a b\nIPE_ACTION=ALLOW", "IPE_PID": "7", "IPE_POLICY": "site",
			"IPE_RULE": "DEFAULT action=DENY", "IPE_KIND": "denied", "MESSAGE_ID": Denied.ID()}},
		{"policy activated new_active_pol_name=b old_active_pol_name=a", sd.PriNotice, map[string]string{
			"IPE_POLICY": "b", "IPE_OLD_POLICY": "a", "IPE_KIND": "policy-activated", "MESSAGE_ID": Kind("policy-activated").ID()}},
		{"problem error=no", sd.PriErr, map[string]string{"IPE_ERROR": "no", "IPE_KIND": "problem", "MESSAGE_ID": Kind("problem").ID()}},
		{"ready", sd.PriInfo, map[string]string{"IPE_G_X_Y": "1"}},
	}
	for i := range want {
		want[i].vars["SYSLOG_IDENTIFIER"] = "iped"
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(taken{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestRefused: what the journal does not take goes to the other log, or is an error.
func TestRefused(t *testing.T) {
	var text strings.Builder
	gone := errors.New("gone")
	h := New(slog.NewTextHandler(&text, nil))
	h.to = newSender(func(string, sd.Priority, map[string]string) error { return gone })
	slog.New(h).Error("problem", Kind("problem").Attr())
	if !strings.Contains(text.String(), "level=ERROR msg=problem kind=problem") {
		t.Errorf("the other log has %q", text.String())
	}
	if err := h.Strict().Handle(t.Context(), slog.Record{}); !errors.Is(err, gone) {
		t.Errorf("%v, want what the journal said", err)
	}
}

// TestStuck: a journal that takes nothing costs patience once; what it takes later is
// counted again.
func TestStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := newSender(func(string, sd.Priority, map[string]string) error {
			<-release
			return nil
		})
		for range 3 {
			if err := s.send("x", sd.PriInfo, nil); !errors.Is(err, ErrStuck) {
				t.Errorf("%v, want ErrStuck", err)
			}
		}
		close(release)
		synctest.Wait()
		if err := s.send("x", sd.PriInfo, nil); err != nil {
			t.Errorf("it takes entries again: %v", err)
		}
	})
}

// TestKindsAreDocumented: the manual page has the ID of each kind that it lists, and lists
// those of this package.
func TestKindsAreDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "doc", "ipe-audit.5"))
	if err != nil {
		t.Fatal(err)
	}
	listed := map[Kind]string{}
	for _, row := range regexp.MustCompile(`(?m)^\.It Cm (\S+)\n([0-9a-f]{32}), [3-6] `).FindAllStringSubmatch(string(page), -1) {
		listed[Kind(row[1])] = row[2]
	}
	for k, id := range listed {
		if k.ID() != id {
			t.Errorf("ipe-audit(5) says that %s is %s, it is %s", k, id, k.ID())
		}
	}
	for _, k := range []Kind{Denied, WouldDeny, Allowed, Ready, Reloaded} {
		if listed[k] == "" {
			t.Errorf("ipe-audit(5) lacks %s: %s", k, k.ID())
		}
	}
}
