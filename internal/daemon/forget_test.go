package daemon

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestUnwritable(t *testing.T) {
	const maps = `00400000-00b5a000 r-xp 00000000 fd:01 17 /usr/sbin/iped
00b5a000-01200000 r--p 0075a000 fd:01 17 /usr/sbin/iped
01200000-01260000 rw-p 00e00000 fd:01 17 /usr/sbin/iped
01260000-012a0000 rw-p 00000000 00:00 0
7f0000000000-7f0000001000 r-xp 00000000 fd:01 18 /usr/sbin/iped2
7f0000002000-7f0000003000 r-xp 00000000 fd:01 18 /x/usr/sbin/iped-old /usr/sbin/iped
x-y r-xp 00000000 fd:01 18 /usr/sbin/iped
7f0000003000-7f0000003000 r-xp 00000000 fd:01 18 /usr/sbin/iped
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0 [stack]
`
	want := []span{{0x400000, 0xb5a000}, {0xb5a000, 0x1200000}, {0x7f0000002000, 0x7f0000003000}}
	if got := unwritable(strings.NewReader(maps), "/usr/sbin/iped"); !slices.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}

func FuzzUnwritable(f *testing.F) {
	f.Add("00400000-00b5a000 r-xp 00000000 fd:01 17 /p\n")
	f.Add("0-ffffffffffffffff r--p 0 0 0 /p\n-\n\x00")
	f.Fuzz(func(t *testing.T, maps string) {
		for _, s := range unwritable(strings.NewReader(maps), "/p") {
			if s.end <= s.start {
				t.Errorf("%x", s)
			}
		}
	})
}

// TestForgetProgram: the program goes on, and has less of its file in memory.
func TestForgetProgram(t *testing.T) {
	touch := func() int {
		text, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(text), "RssFile:")
		n := 0
		for _, c := range strings.TrimSpace(rest) {
			if c < '0' || c > '9' {
				break
			}
			n = n*10 + int(c-'0')
		}
		return n
	}
	before := touch()
	forgetProgram()
	if after := touch(); after >= before {
		t.Errorf("%d KiB of files before, %d after", before, after)
	}
}
