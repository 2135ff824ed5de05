package conformance_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/conformance"
)

func TestEveryRowHasACase(t *testing.T) {
	rows, ids := map[int]bool{}, map[string]bool{}
	for _, c := range conformance.ParseCases() {
		if ids[c.ID] {
			t.Errorf("case %s occurs twice", c.ID)
		}
		ids[c.ID], rows[c.Row] = true, true
	}
	for row := 1; row <= conformance.LastRow; row++ {
		if !rows[row] {
			t.Errorf("row %d has no case", row)
		}
	}
}

func TestParseCasesAreWellFormed(t *testing.T) {
	wants := []string{"OK", "EBADMSG", "EINVAL", "ERANGE"}
	loads := append(wants, "EACCES", "ENAMETOOLONG", "EMSGSIZE", "ENOMEM")
	for _, c := range conformance.ParseCases() {
		if !slices.Contains(wants, c.Want) || !slices.Contains(loads, c.Load) {
			t.Errorf("case %s: unknown result %q, %q", c.ID, c.Want, c.Load)
		}
		if c.Want != "OK" && c.Load != c.Want {
			t.Errorf("case %s: %s cannot become %s by loading", c.ID, c.Want, c.Load)
		}
		if accepted := c.Want == "OK"; accepted != (c.Name != "") || accepted != (c.Version != "") {
			t.Errorf("case %s: name and version belong to accepted texts, and to them only", c.ID)
		}
		if c.Why == "" {
			t.Errorf("case %s has no reason", c.ID)
		}
	}
}

// TestBytesAreExact looks at the texts that are easily damaged on their way.
func TestBytesAreExact(t *testing.T) {
	const header, deny = "policy_name=p policy_version=0.0.0\n", "DEFAULT action=DENY\n"
	want := map[string]string{
		"3":    "",
		"11":   "policy_name=p policy_version=0.0.0\rDEFAULT action=ALLOW\r",
		"16":   header + "DEFAULT action=ALLOW\xA0\n",
		"19":   "\xEF\xBB\xBF" + header + "DEFAULT action=ALLOW\n",
		"24":   header + deny + "\x00garbage not parsed\n",
		"38":   "policy_name=\xFF\xEF policy_version=0.0.0\nDEFAULT action=ALLOW\n",
		"42":   "policy_name=" + strings.Repeat("n", 255) + " policy_version=0.0.0\nDEFAULT action=ALLOW\n",
		"138":  header + deny + "op=EXECUTE fsverity_digest=sha256:" + strings.Repeat("ab", 20000) + " action=ALLOW\n",
		"161a": "policy_name=p\v policy_version=0.0.0\nDEFAULT action=ALLOW\n",
	}
	for _, c := range conformance.ParseCases() {
		text, listed := want[c.ID]
		if listed && string(c.Text) != text {
			t.Errorf("case %s: text is %q, want %q", c.ID, c.Text, text)
		}
		delete(want, c.ID)
		if c.Row == conformance.LastRow && len(c.Text) <= 4<<20 {
			t.Errorf("case %s: %d bytes, want over 4 MiB", c.ID, len(c.Text))
		}
	}
	for id := range want {
		t.Errorf("there is no case %s", id)
	}
}

func TestEvalCasesAreWellFormed(t *testing.T) {
	ids := map[string]bool{}
	for _, c := range conformance.EvalCases() {
		if ids[c.ID] {
			t.Errorf("case %s occurs twice", c.ID)
		}
		ids[c.ID] = true
		if c.Action != "ALLOW" && c.Action != "DENY" {
			t.Errorf("case %s: action %q", c.ID, c.Action)
		}
		if (c.Scope == "rule") != (c.Rule >= 0) {
			t.Errorf("case %s: scope %s, but rule %d", c.ID, c.Scope, c.Rule)
		}
		empty := c.Evidence.RootHash == "" && c.Evidence.FileDigest == "" && !c.Evidence.BootVerified
		if !c.File && !empty && len(c.Evidence.Unavailable) == 0 {
			t.Errorf("case %s: evidence without a file", c.ID)
		}
	}
	if len(ids) < 100 {
		t.Errorf("%d cases, want the whole truth table", len(ids))
	}
}
