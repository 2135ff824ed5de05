package record

import (
	"strings"
	"testing"
)

// TestSpellPath is about the limits; guests try the rest on real files.
func TestSpellPath(t *testing.T) {
	for _, tt := range []struct {
		kind  pathKind
		found string
		want  string
	}{
		{pathWalked, "", "/"},
		{pathDeleted, "", "/ (deleted)"},
		{pathWalked, "/a\x00b", "/a\x00b"},
		{pathDeleted, "/a", "/a (deleted)"},
		{pathMemory, "memfd:", "/memfd: (deleted)"},
		{pathAnonInode, "[x]", "anon_inode:[x]"},
		{pathAnonInode, strings.Repeat("x", 52), "anon_inode:" + strings.Repeat("x", 52)},
		{pathAnonInode, strings.Repeat("x", 53), tooLong},
		{pathNamespace, "mnt\x00\x00", "mnt:[7]"},
		{pathDMABuffer, "\x00\x00", "/dmabuf:"},
		{pathPipe, "", "pipe:[7]"},
		{pathSocket, "", "socket:[7]"},
		{pathProcess, "", "anon_inode:[pidfd]"},
		{pathTooLong, "", "<too_long>"},
		{pathUnstable, "/a", "<no_memory>"},
		{pathUnstable + 1, "/a", "<no_memory>"},
	} {
		if got := spellPath(tt.kind, []byte(tt.found), 7); got != tt.want {
			t.Errorf("kind %d, %q: %q, want %q", tt.kind, tt.found, got, tt.want)
		}
	}
}
