package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/policy"
)

func TestMergedText(t *testing.T) {
	r := audit.Access{PID: 7, Comm: "sh", File: &audit.File{Path: "/it's", Dev: "dm-0", Ino: 5}, Rule: audit.Statement{Scope: policy.ScopeGlobal, Action: policy.Deny}}
	h := audit.Header{Time: time.UnixMilli(1795453970087), Serial: 12}
	line := string(api.AppendMerged(nil, audit.Newest, h, r, 41, 99))
	const want = `type=TRUSTED_APP msg=audit(1795453970.087:12): pid=99 uid=0 auid=4294967295 ses=4294967295 ` +
		`msg='ipe_merged=41 ipe_type=1420 ipe_op=EXECUTE ipe_hook=BPRM_CHECK enforcing=0 pid=7 comm="sh" path="/it's" dev="dm-0" ino=5 rule="DEFAULT action=DENY"'`
	if line != want {
		t.Errorf("%s\nwant\n%s", line, want)
	}
	for _, wrapped := range []string{line, "node=a " + line, line + "\n", line + "\x1dUID=\"root\"\n"} {
		last, n, ok := api.SplitMerged(wrapped)
		got, rec, err := audit.Parse(last)
		if !ok || n != 41 || err != nil || got.Serial != 12 || !got.Time.Equal(h.Time) || rec.String() != r.String() {
			t.Errorf("%q: %q, %d, %v: %+v, %v", wrapped, last, n, ok, rec, err)
		}
	}
	plain := string(audit.Newest.AppendNumberedAuditLog(nil, h, r))
	for _, other := range []string{plain, "", strings.Replace(line, "=41", "=0", 1), strings.Replace(line, "=41", "=", 1),
		strings.Replace(line, "=41", "=-1", 1), strings.Replace(line, "TRUSTED_APP", "USER", 1), strings.TrimSuffix(strings.ReplaceAll(line, "'", ""), "'"),
		line[:len(line)/3], strings.Replace(plain, "/it's", "/ msg='ipe_merged=1 ipe_type=1420 '", 1)} {
		if last, n, ok := api.SplitMerged(other); ok {
			t.Errorf("%q is taken for %d of %q", other, n, last)
		}
	}
}

func FuzzSplitMerged(f *testing.F) {
	f.Add(`type=TRUSTED_APP msg=audit(1.000:2): pid=9 uid=0 auid=0 ses=0 msg='ipe_merged=41 ipe_type=1420 ipe_op=EXECUTE'`)
	f.Fuzz(func(t *testing.T, line string) {
		if last, n, ok := api.SplitMerged(line); ok != (n > 0) || ok && !strings.Contains(last, "type=UNKNOWN[1420] msg=") {
			t.Errorf("%q: %q, %d, %v", line, last, n, ok)
		}
	})
}
