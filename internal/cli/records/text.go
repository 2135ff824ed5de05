package records

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/plain"
)

// recordText is a record as a line for people, or the last of so many that were merged.
func (a *app) recordText(h audit.Header, r audit.Record, merged uint64) string {
	switch r := r.(type) {
	case audit.Access:
		return a.decisionText(decision{h.Time, r.Rule.Action.String(), r.Enforcing, r.Op.String(), r.Hook.String(), r.Comm, r.PID,
			fileText(r.File), r.Rule.String(), merged})
	case audit.ConfigChange:
		return a.changeText(h, ui.Green, "ACTIVE", fmt.Sprintf("%s, before %s", idText(r.New), idText(r.Old)), r.Subject)
	case audit.PolicyLoad:
		if r.Errno != 0 {
			return a.changeText(h, ui.Red, "REFUSED", "a policy: "+errnoText(r.Errno), r.Subject)
		}
		return a.changeText(h, ui.Green, "LOADED", idText(r.Policy), r.Subject)
	case audit.Status:
		if r.Enforcing {
			return a.changeText(h, ui.Green, "ENFORCE", "on", r.Subject)
		}
		return a.changeText(h, ui.Yellow, "ENFORCE", "off", r.Subject)
	}
	return ""
}

func (a *app) changeText(h audit.Header, st ui.Style, word, what string, s audit.Subject) string {
	return fmt.Sprintf("%s %s %s by %s\n", timeText(h.Time), a.Paint(st, word), plain.Text(what), subjectText(s))
}

func fileText(f *audit.File) string {
	switch {
	case f == nil:
		return "no file"
	case f.NoInode:
		return plain.Name(f.Path)
	}
	return fmt.Sprintf("%s on %s inode %d", plain.Name(f.Path), f.Dev, f.Ino)
}

func idText(p *audit.PolicyID) string {
	if p == nil {
		return "none"
	}
	return fmt.Sprintf("%s %s sha256:%.8x", plain.Name(p.Name), p.Version, p.Digest[:])
}

func errnoText(errno uint16) string {
	if name := unix.ErrnoName(unix.Errno(errno)); name != "" {
		return name
	}
	return fmt.Sprintf("errno %d", errno)
}

func subjectText(s audit.Subject) string {
	if s.AUID == audit.Unset {
		return "nobody who logged in"
	}
	return fmt.Sprintf("auid %d, session %d", s.AUID, s.Session)
}
