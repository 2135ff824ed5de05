//go:build guest

package fs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/control/controltest"
)

// TestSession is a life of two policies as it must look on the kernel's tree.
func TestSession(t *testing.T) {
	m := mounted(t)
	site := m.signed("site", "1.0.0")
	m.wantRead("policies/boot/active", "1")
	m.wantWrite("new_policy", site, 0)
	m.wantRead("policies/site/active", "0")
	m.wantWrite("new_policy", site, unix.EEXIST)
	m.wantWrite("policies/site/active", "0", unix.EINVAL)
	m.wantWrite("policies/site/active", "1", 0)
	m.wantRead("policies/site/active", "1")
	m.wantRead("policies/boot/active", "0")
	m.wantWrite("policies/site/active", "1", 0)
	m.wantWrite("policies/boot/active", "1", unix.EINVAL)
	m.wantWrite("policies/site/delete", "1", unix.EPERM)
	m.wantWrite("policies/boot/delete", "1", 0)
	m.wantWrite("policies/site/update", site, unix.ESTALE)
	m.wantWrite("policies/site/update", m.signed("other", "2.0.0"), unix.EINVAL)
	m.wantWrite("policies/site/update", m.signed("site", "1.0.1"), 0)
	m.wantRead("policies/site/active", "1")
	m.wantRead("policies/site/version", "1.0.1")
	m.wantWrite("new_policy", "policy_name=x policy_version=1.0.0\nDEFAULT action=ALLOW\n", unix.EBADMSG)
	stranger := controltest.NewSigner(t, "stranger").Sign(t, "policy_name=x policy_version=1.0.0\nDEFAULT action=ALLOW\n")
	m.wantWrite("new_policy", string(stranger), unix.ENOKEY)
}

// TestErrors has the failures of new_policy and update that the session has not.
func TestErrors(t *testing.T) {
	m := mounted(t)
	sign := func(text string) string { return string(m.signer.Sign(t, text)) }
	rule := "DEFAULT action=DENY\n"
	m.wantWrite("new_policy", m.signed("site", "1.0.0"), 0)
	tests := []struct {
		name, data string
		want       unix.Errno
	}{
		{"truncated", m.signed("a", "1.0.0")[:100], unix.EBADMSG},
		{"not ASN.1", "x", unix.EBADMSG},
		{"longer than a message may be", strings.Repeat("0", 65536), unix.EMSGSIZE},
		{"of a megabyte", strings.Repeat("0", 1<<20), unix.EMSGSIZE},
		{"of three", strings.Repeat("0", 3<<20), unix.EMSGSIZE},
		{"signed content without a header", sign(rule), unix.EBADMSG},
		{"empty content", sign(""), unix.EBADMSG},
		{"unknown operation", sign("policy_name=a policy_version=1.0.0\n" + rule + "op=FLY action=DENY\n"), unix.EBADMSG},
		{"version out of range", sign("policy_name=a policy_version=1.0.99999\n" + rule), unix.ERANGE},
	}
	for _, tt := range tests {
		for _, node := range []string{"new_policy", "policies/site/update"} {
			t.Run(tt.name+" to "+filepath.Base(node), func(t *testing.T) {
				wantErrno(t, node, m.write(node, tt.data), tt.want)
			})
		}
	}
	m.wantWrite("new_policy", m.signed("a/b", "1.0.0"), unix.EACCES)
	m.wantWrite("new_policy", m.signed("..", "1.0.0"), unix.EACCES)
	m.wantWrite("new_policy", m.signed(strings.Repeat("n", 256), "1.0.0"), unix.ENAMETOOLONG)
	names := []string{strings.Repeat("n", 255), "new\x01\xffname", ".hidden"}
	for _, name := range names {
		m.wantWrite("new_policy", m.signed(name, "2.0.0"), 0)
		m.wantRead("policies/"+name+"/name", name)
	}
}

func TestBooleans(t *testing.T) {
	m := mounted(t)
	spellings := map[string]string{
		"1": "1", "y": "1", "Y": "1", "t": "1", "T": "1", "on": "1", "ON": "1", "oN": "1", "1garbage": "1", "yes\n": "1", "10": "1", "true": "1",
		"0": "0", "n": "0", "N": "0", "f": "0", "F": "0", "off": "0", "OF": "0", "of": "0", "0\n": "0", "no": "0", "false": "0",
		"1" + strings.Repeat("x", 5000): "1",
	}
	for _, node := range []string{"enforce", "success_audit"} {
		for text, want := range spellings {
			m.wantWrite(node, map[string]string{"0": "1", "1": "0"}[want], 0)
			m.wantWrite(node, text, 0)
			m.wantRead(node, want)
		}
		for _, text := range []string{" 1", "\n1", "2", "o", "ox", "o\n", "-1", "\x00", "enable"} {
			m.wantWrite(node, text, unix.EINVAL)
			m.wantWrite("policies/boot/active", text, unix.EINVAL)
			m.wantWrite("policies/boot/delete", text, unix.EINVAL)
		}
	}
	m.wantWrite("policies/boot/delete", "off", unix.EINVAL)
	m.wantWrite("policies/boot/active", "Yes", 0)
}

// TestTree looks at every node as find(1) does.
func TestTree(t *testing.T) {
	m := mounted(t)
	var got []string
	err := filepath.WalkDir(m.dir, func(name string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Stat(name, &st); err != nil {
			return err
		}
		rel, err := filepath.Rel(m.dir, name)
		got = append(got, fmt.Sprintf("%s %o %d:%d %d %d", rel, st.Mode, st.Uid, st.Gid, st.Size, st.Nlink))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		". 40755 0:0 0 3", "enforce 100600 0:0 0 1", "new_policy 100200 0:0 0 1",
		"policies 40755 0:0 0 3", "policies/boot 40755 0:0 0 2", "policies/boot/active 100600 0:0 0 1",
		"policies/boot/delete 100200 0:0 0 1", "policies/boot/name 100444 0:0 0 1", "policies/boot/pkcs7 100444 0:0 0 1",
		"policies/boot/policy 100444 0:0 0 1", "policies/boot/update 100200 0:0 0 1",
		"policies/boot/version 100444 0:0 0 1", "success_audit 100600 0:0 0 1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the tree (-want +got):\n%s", diff)
	}
}

// TestNothingElse: users make, remove and rename nothing.
func TestNothingElse(t *testing.T) {
	m := mounted(t)
	name, policy := m.path("x"), m.path("policies/boot")
	_, create := os.Create(name)
	for what, tt := range map[string]struct {
		err  error
		want unix.Errno
	}{
		"create":  {create, unix.EACCES},
		"mknod":   {unix.Mknod(name, unix.S_IFREG|0o600, 0), unix.EACCES},
		"fifo":    {unix.Mkfifo(name, 0o600), unix.EPERM},
		"mkdir":   {os.Mkdir(m.path("policies/x"), 0o755), unix.EPERM},
		"symlink": {os.Symlink("enforce", name), unix.EPERM},
		"link":    {os.Link(m.path("enforce"), name), unix.EPERM},
		"rename":  {os.Rename(policy, m.path("policies/other")), unix.EPERM},
		"unlink":  {unix.Unlink(m.path("enforce")), unix.EPERM},
		"rmdir":   {unix.Rmdir(policy), unix.EPERM},
		"absent":  {unix.Unlink(name), unix.ENOENT},
		"long":    {unix.Unlink(m.path(strings.Repeat("n", 256))), unix.ENAMETOOLONG},
	} {
		wantErrno(t, what, tt.err, tt.want)
	}
}

// whole is a policy of signed.
var whole = regexp.MustCompile(`^policy_name=one policy_version=1\.\d+\.0\nDEFAULT action=DENY\n$`)

// readOnce reads by one read(2), which sees one policy. The next may see the next
// policy, as on the kernel's tree.
func readOnce(name string) (string, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	text := make([]byte, 4096)
	n, err := unix.Read(fd, text)
	return string(text[:max(n, 0)]), err
}

// TestConcurrency: of writers that load one name, one succeeds; readers see whole
// contents; enforce and success_audit do not undo each other.
func TestConcurrency(t *testing.T) {
	m := mounted(t)
	const writers = 8
	message := m.signed("one", "1.0.0")
	var wg sync.WaitGroup
	results := make(chan unix.Errno, writers)
	for range writers {
		wg.Go(func() { results <- errnoOf(m.write("new_policy", message)) })
	}
	wg.Wait()
	close(results)
	count := map[unix.Errno]int{}
	for e := range results {
		count[e]++
	}
	if diff := cmp.Diff(map[unix.Errno]int{0: 1, unix.EEXIST: writers - 1}, count); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	wg.Go(func() {
		for i := range 50 {
			m.wantWrite("policies/one/update", m.signed("one", fmt.Sprintf("1.%d.0", i+1)), 0)
		}
	})
	wg.Go(func() {
		for i := range 50 {
			m.wantWrite("enforce", fmt.Sprint(i%2), 0)
		}
	})
	wg.Go(func() {
		for i := range 50 {
			m.wantWrite("success_audit", fmt.Sprint(i%2), 0)
		}
	})
	wg.Go(func() {
		for range 200 {
			if text, err := readOnce(m.path("policies/one/policy")); err != nil || !whole.MatchString(text) {
				t.Errorf("policy reads %q, %v", text, err)
			}
		}
	})
	wg.Wait()
	m.wantRead("enforce", "1")
	m.wantRead("success_audit", "1")
	m.wantRead("policies/one/version", "1.50.0")
}
