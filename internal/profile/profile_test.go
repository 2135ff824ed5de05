package profile_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/internal/profile"
	"github.com/ipe-linux/ipe/internal/strict"
	"github.com/ipe-linux/ipe/policy"
)

const (
	head   = "profile_name=site profile_version=1.0.0 base=strict\n"
	compat = "profile_name=site profile_version=1.0.0 base=compat\n"
)

// Words of identities that are good.
var (
	fileWord = "fsverity_digest=sha256:" + strings.Repeat("cd", 32)
	rootWord = "dmverity_roothash=sha256:" + strings.Repeat("1f", 32)
	node     = rootWord + " path=/usr/bin/node"
)

func digestOf(t *testing.T, text string) digest.Digest {
	t.Helper()
	d, err := digest.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestParse(t *testing.T) {
	file := digestOf(t, "sha256:"+strings.Repeat("cd", 32))
	root := digestOf(t, "sha256:"+strings.Repeat("1f", 32))
	text := "# what JITs need\r\n\r\n\tprofile_name=site  profile_version=1.2.3 base=strict # first\r\n" +
		"rule=protect-wx fsverity_digest=sha256:" + strings.Repeat("CD", 32) + " action=off\r" +
		"anon_exec path=/usr/bin/node " + rootWord + " # any order\n" +
		"rule=map-wx " + rootWord + " " + fileWord + " action=monitor#glued\n" +
		"rule=map-wx " + fileWord + " action=monitor\n" +
		"anon_exec dmverity_roothash=sha3-512:" + strings.Repeat("00", 64) + " path=/opt/Grüße/a=b"
	got, err := profile.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := &profile.Profile{Name: "site", Version: policy.Version{Major: 1, Minor: 2, Rev: 3}, Base: profile.Strict, Exceptions: []profile.Exception{
		{Rule: strict.ProtectWX, Identity: profile.Identity{File: file}, Line: 4},
		{Identity: profile.Identity{Root: root, Path: "/usr/bin/node"}, Line: 5},
		{Rule: strict.MapWX, Action: strict.Monitor, Identity: profile.Identity{Root: root, File: file}, Line: 6},
		{Rule: strict.MapWX, Action: strict.Monitor, Identity: profile.Identity{File: file}, Line: 7},
		{Identity: profile.Identity{Root: digest.New("sha3-512", make([]byte, 64)), Path: "/opt/Grüße/a=b"}, Line: 8},
	}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(digest.Digest{})); diff != "" {
		t.Error(diff)
	}
	if got, err = profile.Parse([]byte(compat + "anon_exec " + fileWord)); err != nil || got.Base != profile.Compat || len(got.Exceptions) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// refusals have a text, and the place, class and code of its mistake with part of what is said.
var refusals = []struct {
	name, text string
	line, col  int
	class      error
	code, want string
}{
	{"nothing", "", 1, 1, policy.ErrSyntax, "no-header", "no header"},
	{"comment alone", "# x\n", 1, 1, policy.ErrSyntax, "no-header", "profile_name=NAME profile_version=1.0.0 base=strict"},
	{"policy", "policy_name=p policy_version=1.0.0\n", 1, 1, policy.ErrSyntax, "header", "this is a policy"},
	{"order", "profile_version=1.0.0 profile_name=p base=strict", 1, 1, policy.ErrSyntax, "header", "wanted profile_name= here"},
	{"header in upper case", "PROFILE_NAME=p", 1, 1, policy.ErrSyntax, "header", "lower case"},
	{"blank behind =", "profile_name= p", 1, 1, policy.ErrSyntax, "blank", "without blanks around ="},
	{"quoted name", `profile_name="a b" profile_version=1.0.0 base=strict`, 1, 1, policy.ErrSyntax, "header", "printable"},
	{"name is a path", "profile_name=a/b profile_version=1.0.0 base=strict", 1, 1, policy.ErrSyntax, "header", "slash"},
	{"name is above", "profile_name=.. profile_version=1.0.0 base=strict", 1, 1, policy.ErrSyntax, "header", "directory"},
	{"endless name", "profile_name=" + strings.Repeat("n", 256), 1, 1, policy.ErrRange, "header", "256 bytes"},
	{"name commands", "profile_name=\x1b profile_version=1.0.0 base=strict", 1, 1, policy.ErrSyntax, "header", "printable"},
	{"no version", "profile_name=p", 1, 1, policy.ErrSyntax, "header", "no profile_version= behind it"},
	{"no base", "profile_name=p profile_version=1.0.0\n" + "anon_exec x", 1, 16, policy.ErrSyntax, "header", "no base= behind it"},
	{"version", "profile_name=p profile_version=1.x.0 base=strict", 1, 16, policy.ErrValue, "version", "not a decimal number"},
	{"high version", "profile_name=p profile_version=1.0.65536 base=strict", 1, 16, policy.ErrRange, "version", "over 65535"},
	{"short version", "profile_name=p profile_version=1.0 base=strict", 1, 16, policy.ErrSyntax, "version", "three numbers"},
	{"base", "profile_name=p profile_version=1.0.0 base=lax", 1, 38, policy.ErrSyntax, "base", "strict or compat"},
	{"base in upper case", "profile_name=p profile_version=1.0.0 base=STRICT", 1, 38, policy.ErrSyntax, "base", "write base=strict"},
	{"more in the header", "profile_name=p profile_version=1.0.0 base=strict x", 1, 50, policy.ErrSyntax, "header", "nothing else"},
	{"second header", head + head, 2, 1, policy.ErrSyntax, "second-header", "one line"},

	{"byte order mark", "\xEF\xBB\xBF" + head, 1, 1, policy.ErrSyntax, "encoding", "byte order mark"},
	{"UTF-16", "\xFF\xFEp\x00", 1, 1, policy.ErrSyntax, "encoding", "UTF-16"},
	{"NUL", head + "\r\nab\x00cd", 3, 3, policy.ErrSyntax, "nul", "NUL"},
	{"NUL behind nothing", "\x00", 1, 1, policy.ErrSyntax, "nul", "NUL"},
	{"NUL in a comment", head + "#\x00", 2, 2, policy.ErrSyntax, "nul", "NUL"},
	{"long text", head + strings.Repeat("#", 64<<10), 0, 0, policy.ErrRange, "limit", "more than 65536"},

	{"statement", head + "allow x", 2, 1, policy.ErrSyntax, "statement", "begins with rule= or anon_exec"},
	{"rule of a policy", head + "op=EXECUTE action=DENY", 2, 1, policy.ErrSyntax, "statement", "belongs into a policy"},
	{"no word rule", head + fileWord + " action=off", 2, 1, policy.ErrSyntax, "statement", "begin with rule=NAME or anon_exec"},
	{"anon-exec", head + "anon-exec " + fileWord, 2, 1, policy.ErrSyntax, "statement", "write anon_exec"},
	{"anon_exec=", head + "anon_exec=1 " + fileWord, 2, 1, policy.ErrSyntax, "statement", "write anon_exec"},
	{"rule alone", head + "rule map-wx", 2, 1, policy.ErrSyntax, "blank", "without blanks"},
	{"rule=", head + "rule= map-wx", 2, 1, policy.ErrSyntax, "blank", "no blank may follow"},
	{"near rule", head + "rule=protect_xw " + fileWord + " action=off", 2, 1, policy.ErrSyntax, "rule", "write rule=protect-wx"},
	{"no such rule", head + "rule=everything " + fileWord + " action=off", 2, 1, policy.ErrSyntax, "rule", "there are map-wx, protect-wx,"},
	{"rule none", head + "rule=none " + fileWord + " action=off", 2, 1, policy.ErrSyntax, "rule", "there are map-wx"},
	{"rule under compat", compat + "rule=map-wx " + fileWord + " action=off", 2, 1, policy.ErrSyntax, "rule", "no rule is on"},
	{"two rules", head + "rule=map-wx rule=execmod " + fileWord + " action=off", 2, 13, policy.ErrSyntax, "statement", "one line is one exception"},

	{"no identity", head + "rule=map-wx action=off", 2, 1, policy.ErrSyntax, "identity", "no executable"},
	{"anon_exec alone", head + "anon_exec", 2, 1, policy.ErrSyntax, "identity", "no executable"},
	{"root hash alone", head + "anon_exec " + rootWord, 2, 11, policy.ErrSyntax, "identity", "every file of the volume"},
	{"path alone", head + "anon_exec path=/usr/bin/node", 2, 11, policy.ErrSyntax, "identity", "verifies nothing"},
	{"path with a digest", head + "anon_exec " + fileWord + " path=/usr/bin/node", 2, 11 + len(fileWord) + 1, policy.ErrSyntax, "identity", "verifies nothing"},
	{"all three", head + "anon_exec " + node + " " + fileWord, 2, 11 + len(rootWord) + 1, policy.ErrSyntax, "identity", "twice"},
	{"signed volume", head + "anon_exec dmverity_signature=TRUE", 2, 11, policy.ErrSyntax, "identity", "every file of every signed volume"},
	{"signed file", head + "anon_exec fsverity_signature=TRUE", 2, 11, policy.ErrSyntax, "identity", "every file that was ever signed"},
	{"initramfs", head + "anon_exec boot_verified=TRUE", 2, 11, policy.ErrSyntax, "identity", "every file of the initramfs"},
	{"digest twice", head + "anon_exec " + fileWord + " " + fileWord, 2, 11 + len(fileWord) + 1, policy.ErrSyntax, "property", "one line for each"},
	{"unknown property", head + "anon_exec inode=7", 2, 11, policy.ErrSyntax, "property", "there are fsverity_digest,"},
	{"near property", head + "anon_exec fsverity-digest=sha256:cd", 2, 11, policy.ErrSyntax, "property", "write fsverity_digest=sha256:cd"},
	{"property without a value", head + "anon_exec fsverity_digest", 2, 11, policy.ErrSyntax, "blank", "one word"},
	{"blanks around =", head + "anon_exec = x", 2, 11, policy.ErrSyntax, "blank", "around ="},
	{"continued", head + "anon_exec \\\n" + fileWord, 2, 11, policy.ErrSyntax, "separator", "cannot be continued"},

	{"no digest", head + "anon_exec fsverity_digest=", 2, 11, policy.ErrSyntax, "blank", "no digest"},
	{"no colon", head + "anon_exec fsverity_digest=cdcd", 2, 11, policy.ErrSyntax, "digest", "no colon"},
	{"no hex", head + "anon_exec fsverity_digest=sha256:xy", 2, 11, policy.ErrValue, "digest", "hex digits behind the colon"},
	{"short digest", head + "anon_exec fsverity_digest=sha256:cd", 2, 11, policy.ErrValue, "digest", "2 hex digits, and one of sha256 has 64"},
	{"algorithm in upper case", head + "anon_exec fsverity_digest=SHA256:cd", 2, 11, policy.ErrValue, "digest", "lower case"},
	{"algorithm that no file has", head + "anon_exec fsverity_digest=sha1:" + strings.Repeat("00", 20), 2, 11, policy.ErrValue, "digest", "fs-verity has sha256 and sha512"},
	{"algorithm that no volume has", head + "anon_exec dmverity_roothash=md5:00 path=/a", 2, 11, policy.ErrValue, "digest", "no kernel has it"},

	{"no path", head + "anon_exec path=", 2, 11, policy.ErrSyntax, "blank", "no path"},
	{"relative", head + "anon_exec path=usr/bin/node", 2, 11, policy.ErrSyntax, "path", "absolute"},
	{"root", head + "anon_exec path=/", 2, 11, policy.ErrSyntax, "path", "no executable"},
	{"dot dot", head + "anon_exec path=/usr/../bin/node", 2, 11, policy.ErrSyntax, "path", "must not have .."},
	{"dot dot at the end", head + "anon_exec path=/usr/..", 2, 11, policy.ErrSyntax, "path", "must not have .."},
	{"dot", head + "anon_exec path=/usr/./node", 2, 11, policy.ErrSyntax, "path", "write path=/usr/node"},
	{"doubled slash", head + "anon_exec path=//usr/bin/node", 2, 11, policy.ErrSyntax, "path", "write path=/usr/bin/node"},
	{"slash at the end", head + "anon_exec path=/usr/bin/node/", 2, 11, policy.ErrSyntax, "path", "write path=/usr/bin/node"},
	{"quoted path", head + `anon_exec path="/usr/bin/node"`, 2, 11, policy.ErrSyntax, "path", "nothing is quoted"},
	{"backslash", head + `anon_exec path=/a\040b`, 2, 11, policy.ErrSyntax, "path", "no backslash"},
	{"control byte", head + "anon_exec path=/a\x7fb", 2, 11, policy.ErrSyntax, "path", "unprintable"},
	{"no UTF-8", head + "anon_exec path=/a\xa0", 2, 11, policy.ErrSyntax, "path", "unprintable"},
	{"other blanks", head + "anon_exec path=/a\u00a0b", 2, 11, policy.ErrSyntax, "path", "unprintable"},
	{"path with a blank", head + "anon_exec " + rootWord + " path=/My App", 2, 11 + len(rootWord) + 10, policy.ErrSyntax, "path", "a path has no blanks"},
	{"path with #", head + "anon_exec " + rootWord + " path=/a#b", 2, 11 + len(rootWord) + 1, policy.ErrSyntax, "path", "begins a comment"},
	{"long path", head + "anon_exec path=/" + strings.Repeat("a", 255), 2, 11, policy.ErrRange, "path", "256 bytes, more than 255"},

	{"enforce", head + "rule=map-wx " + fileWord + " action=enforce", 2, 13 + len(fileWord) + 1, policy.ErrSyntax, "action", "cannot add"},
	{"no action", head + "rule=map-wx " + fileWord, 2, 13, policy.ErrSyntax, "no-action", "must end with action=off"},
	{"empty action", head + "rule=map-wx " + fileWord + " action=", 2, 13 + len(fileWord) + 1, policy.ErrSyntax, "blank", "no action"},
	{"near action", head + "rule=map-wx " + fileWord + " action=Monitr", 2, 13 + len(fileWord) + 1, policy.ErrSyntax, "action", "write action=monitor"},
	{"ALLOW", head + "rule=map-wx " + fileWord + " action=ALLOW", 2, 13 + len(fileWord) + 1, policy.ErrSyntax, "action", "action=off or action=monitor"},
	{"early action", head + "rule=map-wx action=off " + fileWord, 2, 13, policy.ErrSyntax, "action-place", "last word"},
	{"action of anon_exec", head + "anon_exec " + fileWord + " action=off", 2, 11 + len(fileWord) + 1, policy.ErrSyntax, "action", "has no action"},

	{"the same twice", head + "anon_exec " + fileWord + "\nanon_exec " + fileWord, 3, 1, policy.ErrSyntax, "duplicate", "line 2 excepts"},
	{"the same with another action", head + "rule=map-wx " + node + " action=off\nrule=map-wx path=/usr/bin/node " + rootWord + " action=monitor", 3, 1, policy.ErrSyntax, "duplicate", "line 2 excepts"},
	{"the first of two mistakes", head + "anon_exec\nrule=x", 2, 1, policy.ErrSyntax, "identity", "no executable"},
}

func TestRefusals(t *testing.T) {
	for _, tt := range refusals {
		t.Run(tt.name, func(t *testing.T) {
			p, err := profile.Parse([]byte(tt.text))
			var se *policy.SyntaxError
			if p != nil || !errors.As(err, &se) {
				t.Fatalf("%+v, %v", p, err)
			}
			if se.Line != tt.line || se.Col != tt.col || !errors.Is(err, tt.class) || string(se.Code) != tt.code || !strings.Contains(se.Msg, tt.want) {
				t.Errorf("got %d:%d %q (%v): %v\nwant %d:%d %q (%v): %s", se.Line, se.Col, se.Code, se.Err, err, tt.line, tt.col, tt.code, tt.class, tt.want)
			}
			if all := profile.Diagnose([]byte(tt.text)); len(all) == 0 || *all[0] != *se {
				t.Errorf("all mistakes are %v", all)
			}
			if _, err := profile.Format([]byte(tt.text)); err == nil {
				t.Error("formatted")
			}
		})
	}
}

// TestDiagnose: each line has its turn, and a missing header is told once.
func TestDiagnose(t *testing.T) {
	for _, tt := range []struct {
		text string
		want []string
	}{
		{head + "anon_exec " + fileWord, nil},
		{head + "anon_exec\n# fine\nrule=x y\nanon_exec " + fileWord + "\nrule=map-wx " + fileWord + "\n", []string{"2:1 identity", "4:1 rule", "6:13 no-action"}},
		{"anon_exec\nanon_exec " + node, []string{"1:1 header", "1:1 identity"}},
		{"profile_name=p profile_version=1.0.0 base=compt\nrule=map-wx " + node + " action=off\nrule=map-wx", []string{"1:38 base", "3:1 identity"}},
	} {
		var got []string
		for _, e := range profile.Diagnose([]byte(tt.text)) {
			got = append(got, fmt.Sprintf("%d:%d %s", e.Line, e.Col, e.Code))
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q: %s", tt.text, diff)
		}
	}
}

// TestLimits: the largest that are taken. The densest text has no more exceptions than
// there is room for.
func TestLimits(t *testing.T) {
	text, n := head, 0
	for ; ; n++ {
		line := fmt.Sprintf("anon_exec dmverity_roothash=sha1:%040x path=/a\n", n)
		if len(text)+len(line) > profile.MaxText {
			break
		}
		text += line
	}
	text += strings.Repeat("#", profile.MaxText-len(text))
	if p, err := profile.Parse([]byte(text)); err != nil || len(p.Exceptions) != n || n > profile.MaxExceptions {
		t.Errorf("%d exceptions: %v", n, err)
	}
	if _, err := profile.Parse([]byte(head + "anon_exec " + rootWord + " path=/" + strings.Repeat("a", profile.MaxPath-1))); err != nil {
		t.Error(err)
	}
}

func TestFormat(t *testing.T) {
	src := "# what may\r\n\r\n\r\n profile_name=site\tprofile_version=+1.00.0   base=strict  # here  \r" +
		"\n\nrule=map-wx  path=/usr/bin/node " + strings.ReplaceAll(rootWord, "1f", "1F") + " action=off# why\n  #  alone \n\n\nanon_exec  " + fileWord + "\n\n"
	want := "# what may\n\nprofile_name=site profile_version=+1.00.0 base=strict # here\n\n" +
		"rule=map-wx " + node + " action=off # why\n#  alone\n\nanon_exec " + fileWord + "\n"
	got, err := profile.Format([]byte(src))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	if again, err := profile.Format(got); err != nil || string(again) != want {
		t.Errorf("%v, %q", err, again)
	}
}

// FuzzParse checks that each text is refused at a place inside it, or survives formatting
// and says the same then.
func FuzzParse(f *testing.F) {
	for _, r := range refusals {
		if len(r.text) < 4096 {
			f.Add([]byte(r.text))
		}
	}
	f.Add([]byte(head + "rule=map-wx " + node + " action=off\r\nanon_exec " + fileWord + " # c\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := profile.Parse(text)
		all := profile.Diagnose(text)
		if (err == nil) != (len(all) == 0) {
			t.Fatalf("%v, and mistakes %v", err, all)
		}
		for _, e := range all {
			checkPlace(t, string(text), e)
		}
		if err == nil {
			checkFormat(t, text, p)
		}
	})
}

// checkPlace wants the token to stand where the error says.
func checkPlace(t *testing.T, text string, e *policy.SyntaxError) {
	t.Helper()
	if e.Line == 0 {
		return
	}
	split := strings.Split(strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n"), "\n")
	if e.Line > len(split) || e.Col < 1 || e.Col-1 > len(split[e.Line-1]) || !strings.HasPrefix(split[e.Line-1][e.Col-1:], e.Token) {
		t.Errorf("%q: %v", text, e)
	}
}

func checkFormat(t *testing.T, text []byte, p *profile.Profile) {
	t.Helper()
	formatted, err := profile.Format(text)
	if err != nil {
		t.Fatal(err)
	}
	q, err := profile.Parse(formatted)
	if err != nil {
		t.Fatalf("%q was formatted as %q: %v", text, formatted, err)
	}
	again, err := profile.Format(formatted)
	if err != nil || string(again) != string(formatted) {
		t.Errorf("%q, formatted again: %q, %v", formatted, again, err)
	}
	for i := range p.Exceptions {
		p.Exceptions[i].Line = 0
	}
	for i := range q.Exceptions {
		q.Exceptions[i].Line = 0
	}
	if diff := cmp.Diff(p, q, cmp.AllowUnexported(digest.Digest{})); diff != "" {
		t.Error(diff)
	}
}
