package records

import (
	"strings"
	"testing"
	"time"

	"github.com/ipe-linux/ipe/audit"
)

// FuzzUnwrap: the line that auditd makes of a message of ours reads as the record that
// it was made from, whatever auditd appends; and no line makes anything panic.
func FuzzUnwrap(f *testing.F) {
	f.Add("type=TRUSTED_APP msg=audit(1.002:3): pid=1 msg='ipe_type=1404 '", "sh", "/a", "UID=\"root\"")
	f.Add("node=a type=TRUSTED_APP msg=audit(1.002:3): msg='ipe_type=", "it's", "/a'b", "x=y'")
	f.Fuzz(func(t *testing.T, line, comm, path, enriched string) {
		if got := unwrap(line); !strings.Contains(line, "ipe_type=") && got != line {
			t.Errorf("%q became %q", line, got)
		}
		rule := audit.Statement{}
		rule.Action, rule.Scope = 2, 2
		want := audit.Access{PID: 7, Comm: comm, File: &audit.File{Path: path, Dev: "dm-0"}, Rule: rule}
		message := "type=TRUSTED_APP msg=audit(1.002:3): pid=1 uid=0 auid=0 ses=1 msg='ipe_type=1420 " + want.String() + "'"
		if !strings.ContainsAny(enriched, "'\r\n") {
			message += "\x1d" + enriched
		}
		h, r, err := audit.Parse(unwrap(message))
		got, ok := r.(audit.Access)
		if err != nil || !ok || got.Comm != comm || got.File.Path != path || h.Serial != 3 || !h.Time.Equal(time.UnixMilli(1002)) {
			t.Errorf("%q: %v, %+v, %+v", message, err, h, r)
		}
	})
}
