package conformance_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/conformance"
)

func TestAuditCasesAreWellFormed(t *testing.T) {
	ids, types := map[string]bool{}, map[int]bool{}
	wants := []string{"OK", "NOT_IPE", "MALFORMED", "TRUNCATED"}
	for _, c := range conformance.AuditCases() {
		if ids[c.ID] {
			t.Errorf("case %s occurs twice", c.ID)
		}
		ids[c.ID], types[c.Type] = true, true
		if !slices.Contains(wants, c.Want) || c.Why == "" {
			t.Errorf("case %s: result %q, reason %q", c.ID, c.Want, c.Why)
		}
		if record := c.Want == "OK"; record != (c.Type != 0) || record != (len(c.Fields) > 0) {
			t.Errorf("case %s: type and fields belong to records, and to them only", c.ID)
		}
		if c.Offset > len(c.Line) || c.Want == "TRUNCATED" && c.Offset != len(c.Line) {
			t.Errorf("case %s: byte %d of %d", c.ID, c.Offset, len(c.Line))
		}
		if strings.HasPrefix(c.ID, "live/") && (len(c.Line) == 0 || c.Line[0] != '[') {
			t.Errorf("case %s is no line of a kernel log: %q", c.ID, c.Line)
		}
	}
	for _, typ := range []int{1404, 1420, 1421, 1422} {
		if !types[typ] {
			t.Errorf("there is no case of type %d", typ)
		}
	}
}
