package control_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/control/api"
)

// TestBootText: what the text of a boot policy can be.
func TestBootText(t *testing.T) {
	rest := "\n" + strings.Repeat("#", api.MaxBoot)
	tests := []struct {
		name, text string
		want       unix.Errno
		// active and listed are names.
		active, listed string
	}{
		{"none", "", 0, "", ""},
		{"a NUL first", "\x00" + text("boot", "0.0.1"), 0, "", ""},
		{"a NUL ends it", text("boot", "0.0.1") + "\x00 nonsense" + rest, 0, "boot", "boot"},
		{"a NUL before the default", "policy_name=boot policy_version=0.0.1\n\x00DEFAULT action=DENY\n", unix.EBADMSG, "", ""},
		{"no policy", "hello\n", unix.EBADMSG, "", ""},
		{"as long as can be", (text("boot", "0.0.1") + rest)[:api.MaxBoot-1], 0, "boot", "boot"},
		{"too long", (text("boot", "0.0.1") + rest)[:api.MaxBoot], unix.ENOMEM, "", ""},
		{"name with a slash", text("a/b", "0.0.1"), unix.EACCES, "a/b", ""},
		{"name of dots", text("..", "0.0.1"), unix.EACCES, "..", ""},
		{"long name", text(strings.Repeat("n", 256), "0.0.1"), unix.ENAMETOOLONG, strings.Repeat("n", 256), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			m.boot = tt.text
			c, err := m.start()
			wantErrno(t, "start", err, tt.want)
			s, active, listed := c.Status(), "", []string{}
			if s.Active != nil {
				active = s.Active.Name
			}
			for _, i := range c.List() {
				listed = append(listed, i.Name)
			}
			if active != tt.active || strings.Join(listed, " ") != tt.listed {
				t.Errorf("active %q, listed %q", active, listed)
			}
			if (tt.want == 0) != (len(s.Problems) == 0) || tt.active != "" && s.Summary != "enforcing" {
				t.Errorf("summary %q, problems %q", s.Summary, s.Problems)
			}
		})
	}
}

// TestBootWithoutPlace: a boot policy that cannot be shown can be replaced all the
// same, and comes back where nothing else is active.
func TestBootWithoutPlace(t *testing.T) {
	m := newMachine(t)
	m.boot = text("a/b", "1.0.0")
	c, _ := m.start()
	wantErrno(t, "activate", c.Activate("a/b"), unix.ENOENT)
	wantErrno(t, "delete", c.Delete("a/b"), unix.ENOENT)
	_, err := c.Update("a/b", m.signed("a/b", "2.0.0"))
	wantErrno(t, "update", err, unix.ENOENT)
	_, err = c.Load(m.signed("a/b", "2.0.0"))
	wantErrno(t, "load", err, unix.EACCES)
	_, low := c.Load(m.signed("low", "0.9.0"))
	_, high := c.Load(m.signed("high", "1.0.0"))
	if err := errors.Join(low, high); err != nil {
		t.Fatal(err)
	}
	wantErrno(t, "activate a lower one", c.Activate("low"), unix.EINVAL)
	wantErrno(t, "activate another", c.Activate("high"), 0)
	c, _ = m.start()
	if s := c.Status(); s.Active == nil || s.Active.Name != "high" || len(s.Problems) != 1 {
		t.Errorf("next start: active %+v, problems %q", s.Active, s.Problems)
	}
}

// TestBootShown is what the boot policy looks like until a signed one has its name.
func TestBootShown(t *testing.T) {
	m := newMachine(t)
	m.boot = text("boot", "0.0.1") + "\x00more"
	c := m.started()
	info, envelope, shown, err := c.Get("boot")
	if err != nil || !info.Boot || envelope != nil || string(shown) != text("boot", "0.0.1") {
		t.Errorf("%+v, message of %d bytes, text %q, %v", info, len(envelope), shown, err)
	}
	// The hash of nothing.
	if want := "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"; info.SHA256 != want {
		t.Errorf("digest %s", info.SHA256)
	}
	signed := m.signed("boot", "0.0.2")
	if _, err := c.Update("boot", signed); err != nil {
		t.Fatal(err)
	}
	info, envelope, _, err = c.Get("boot")
	if err != nil || info.Boot || !cmp.Equal(envelope, signed) {
		t.Errorf("%+v, message of %d bytes, %v", info, len(envelope), err)
	}
	wantErrno(t, "delete while active", c.Delete("boot"), unix.EPERM)
	if _, err := c.Load(m.signed("site", "1.0.0")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Activate("site"), c.Delete("boot")); err != nil {
		t.Fatal(err)
	}
	c = m.started()
	if info, _, _, err := c.Get("boot"); err != nil || !info.Boot || info.Active || info.Version != "0.0.1" {
		t.Errorf("next start: %+v, %v", info, err)
	}
	wantErrno(t, "delete", c.Delete("boot"), 0)
	if _, _, _, err := m.started().Get("boot"); err != nil {
		t.Errorf("start after that: %v", err)
	}
}
