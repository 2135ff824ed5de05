package machine

import (
	"strings"
	"testing"
)

// FuzzParseRootMount: what is mounted at / is what the last line of it says, whatever
// other places are called. The kernel writes blanks, tabs and line breaks of a name as
// numbers.
func FuzzParseRootMount(f *testing.F) {
	f.Add("/a", "/dev/vda1")
	f.Add("/\u00a0x", "/dev/vda1")
	f.Add("/\r", "overlay")
	escape := strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`)
	f.Fuzz(func(t *testing.T, other, source string) {
		other, source = escape.Replace(other), escape.Replace(source)
		if other == "/" {
			return
		}
		line := func(at, kind, source string) string {
			return "30 21 254:1 / " + at + " rw shared:1 - " + kind + " " + source + " rw\n"
		}
		text := line("/", "rootfs", "none") + line("/", "ext4", source) + line(other, "tmpfs", "another")
		if kind, device, number := parseRootMount(text); kind != "ext4" || device != source || number != "254:1" {
			t.Errorf("%q: %q on %q, %q", text, kind, device, number)
		}
	})
}
